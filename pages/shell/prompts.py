"""A prompt as the chat turns that a model reads; never as Markdown."""

from __future__ import annotations

import streamlit as st

from iapo_core.task import Prompt

_ROLES = {"system": "System: instructions", "user": "User", "assistant": "Assistant: example answer"}


def show(prompt: Prompt) -> None:
    """Show every turn of a prompt."""
    for message in prompt.messages:
        st.caption(_ROLES[message.role])
        st.code(message.content, language=None, wrap_lines=True)
