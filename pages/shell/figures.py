"""x."""

import streamlit as st


def _f(*a, key):
    st.caption(f"[{key}]")


trim_board = replay = contexts_rounds = race = curtain = fronts = ribbon = policy_map = scaling = contexts_prompt = _f
