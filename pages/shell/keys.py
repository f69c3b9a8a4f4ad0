"""The keys that a run needs: found where the dashboard runs, or typed for this session; never stored, never shown again."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from iapo_core.environments.endpoints import key_slots
from iapo_core.environments.live import LiveSettings
from iapo_core.task import Task
from pages.shell import words

_TYPED = "typed-keys"  # of this session alone; a widget's own value would be sent back to the browser


def ask(task: Task, live: LiveSettings) -> None:
    """Say of each key that the task's models need where it is, and ask for those that are nowhere."""
    slots = key_slots(task, live)
    if not slots:
        return
    st.markdown("**Keys**")
    for slot, is_set in slots.items():
        _one(slot, is_set=is_set)


def held(task: Task, live: LiveSettings) -> dict[str, str]:
    """Return the keys to hand over to the run's own worker: from the secrets, or typed in this session."""
    known = {**_typed(), **_secrets()}
    return {slot: known[slot] for slot in key_slots(task, live) if slot in known}


def missing(task: Task, live: LiveSettings) -> list[str]:
    """Return the slots whose key is nowhere."""
    known = held(task, live)
    return [slot for slot, is_set in key_slots(task, live).items() if not is_set and slot not in known]


def _one(slot: str, *, is_set: bool) -> None:
    name = words.escape(slot)
    if slot in _secrets():
        st.caption(f":material/check: {name}: found in the secrets")
    elif slot in _typed():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/check: {name}: typed, held for this session alone", width="content")
            st.button(
                "Forget it", key=f"forget-{slot}", on_click=_forget, args=(slot,), help="Takes the key out of this session."
            )
    elif is_set:
        st.caption(f":material/check: {name}: found in the environment")
    else:
        st.text_input(
            f"Key for {name}",
            key=_widget(slot),
            type="password",
            autocomplete="off",
            on_change=_take,
            args=(slot,),
            placeholder="paste it and press Enter",
            help="It goes to the run's own process through a pipe, and is written nowhere: no database, log, address or file.",
        )


def _take(slot: str) -> None:
    """Move what was typed out of the widget, so that no page shows it again."""
    if typed := st.session_state.get(_widget(slot), "").strip():
        st.session_state[_TYPED] = {**_typed(), slot: typed}
    st.session_state[_widget(slot)] = ""


def _forget(slot: str) -> None:
    st.session_state[_TYPED] = {name: key for name, key in _typed().items() if name != slot}


def _typed() -> Mapping[str, str]:
    return st.session_state.get(_TYPED, {})


def _secrets() -> Mapping[str, str]:
    """Return what the operator's `secrets.toml` holds; nothing where there is none."""
    try:
        return {name: value for name, value in st.secrets.items() if isinstance(value, str) and value.strip()}
    except StreamlitSecretNotFoundError:
        return {}


def _widget(slot: str) -> str:
    return f"key-of-{slot}"
