"""The local model on a page: what of it is here, its download, its server."""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from iapo_core.environments.endpoints import LOCAL
from iapo_core.errors import IapoError
from iapo_core.runs import local_server
from iapo_core.runs.local_server import LocalStatus
from iapo_core.task import Task
from pages.shell import session, words


def is_used(task: Task) -> bool:
    """Return whether a task's candidates call the model of this machine."""
    return any(decoding.model.startswith(LOCAL) for _, decoding in task.candidates)


def panel() -> None:
    """Draw how the model stands, and the buttons that change it; follows a download by itself."""
    with st.container(border=True, key="local-model"):
        st.markdown("**Local model**: a small real LLM on this machine. No key, no price, some completions a second.")
        is_moving = local_server.status().fetched is not None
        st.fragment(_state, run_every=1.0 if is_moving else None)(is_moving)


def _state(was_moving: bool) -> None:
    now = local_server.status()
    if (now.fetched is not None) != was_moving:
        st.rerun()
    st.caption(_in_words(now))
    if now.fetched is not None:
        st.progress(now.fetched, text=f"Fetching the model: {now.fetched:.0%} of 93 MB")
        return
    if now.problem:
        st.text(now.problem)
    if not now.is_installed:
        st.code("pip install 'iapo[local]'", language="bash")
        return
    with st.container(horizontal=True):
        if not now.has_model:
            _button("Fetch the model (93 MB)", "local-fetch", ":material/download:", local_server.fetch_aside)
        elif now.server is None:
            _button("Start it now", "local-start", ":material/play_arrow:", local_server.ensure)
        else:
            _button("Stop it", "local-stop", ":material/stop:", local_server.stop)


def _button(label: str, key: str, icon: str, action: Callable[[], object]) -> None:
    """Offer one action; what it refuses stands below."""
    if st.button(label, key=key, icon=icon, help="Acts on the one server of this data folder, whoever started it."):
        try:
            with st.spinner("One moment", show_time=True):
                action()
        except IapoError as error:
            session.explain(error, "The local model could not be changed.")
        else:
            st.rerun()


def _in_words(now: LocalStatus) -> str:
    if not now.is_installed:
        return "llama.cpp is not installed here. This installs it; then open the page again."
    if not now.has_model:
        return "llama.cpp is installed. The model itself comes as a package and is checked by its SHA-256."
    if now.server is None:
        return "Installed, and down. A run that needs it starts it by itself; it ends after half an hour without work."
    memory = now.server.memory_bytes
    held = f", {memory / 1e6:,.0f} MB of memory" if memory else ""
    return f"Running: {now.server.slots} completions at once{held}, up for {words.duration(_age(now))}."


def _age(now: LocalStatus) -> float:
    return 0.0 if now.server is None else time.time() - now.server.started_at
