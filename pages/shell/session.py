"""The run that this tab looks at: named by the URL, read from the store."""

from __future__ import annotations

import os
from collections.abc import Mapping

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.runs.config import RunConfig
from iapo_core.runs.store import RunRow, Store
from iapo_core.runs.worker import ensure_worker, showcase, start_keyed_worker
from pages.shell import sitemap, words

_CURRENT = "current_run"
NONCE = "nonce"


def store() -> Store:
    """Return the run database; one connection pool per address."""
    return _open(os.environ.get("IAPO_DATABASE_URL"), os.environ.get("IAPO_DATA_DIR"))


@st.cache_resource(show_spinner=False)
def _open(url: str | None, folder: str | None) -> Store:
    return Store.open(url)


def address() -> str:
    """Name the database, to tell cached values apart."""
    return f"{os.environ.get('IAPO_DATABASE_URL')} {os.environ.get('IAPO_DATA_DIR')}"


def current() -> str | None:
    """Return the id of the run that the URL names, else the one this tab looked at last."""
    return st.query_params.get("run") or st.session_state.get(_CURRENT)


def open_run(run_id: str) -> None:
    """Make a run the current one."""
    st.session_state[_CURRENT] = run_id


def close_run() -> None:
    """Look at no run; the form that comes next is a new one and makes a new run."""
    st.session_state.pop(_CURRENT, None)
    st.session_state.pop(NONCE, None)
    if "run" in st.query_params:
        del st.query_params["run"]


def row() -> RunRow | None:
    """Return the current run and put its id into the URL; None if no run is open.

    A run id that is not in the database gets a sentence, and the page ends.
    """
    run_id = current()
    if run_id is None:
        return None
    try:
        found = store().run(run_id)
    except IapoError as error:
        close_run()
        explain(error, "The address names a run that is not here. It may belong to another database, or was mistyped.")
        st.page_link(sitemap.HOME, label="See the recent runs", icon=":material/arrow_back:")
        st.stop()
    st.session_state[_CURRENT] = found.id
    if st.query_params.get("run") != found.id:
        st.query_params["run"] = found.id
    return found


def row_or_showcase() -> RunRow:
    """Return the current run; where none is open, open the finished showcase run.

    Without either the page says what to do and ends.
    """
    found = row()
    if found is not None:
        return found
    try:
        open_run(showcase(store()))
    except IapoError as error:
        st.info("No run is open, and there is no finished one to show yet.", icon=":material/info:")
        st.text(str(error))
        st.page_link(sitemap.RUN, label="Start a run", icon=":material/play_circle:")
        st.stop()
    st.rerun()  # the header is drawn before the page, and names the run too


def start(config: RunConfig, nonce: str, keys: Mapping[str, str] | None = None) -> str:
    """Queue a run and see to it that a worker lives, one of its own where it has keys; the same nonce gives the same run."""
    run_id = store().create_run(config, nonce=nonce, needs_keys=bool(keys))
    if keys:
        start_keyed_worker(store(), run_id, keys)
    else:
        ensure_worker(store())
    return run_id


def ask(run_id: str, wish: str, keys: Mapping[str, str] | None = None) -> None:
    """Pass "cancel", "pause" or "resume" on to the worker; a run whose keys were typed resumes in a worker that gets them.

    Raises:
        RunError: If the run is not in a state that allows it.
    """
    if keys and wish == "resume":
        start_keyed_worker(store(), run_id, keys)
        return
    store().request(run_id, wish)
    ensure_worker(store())


def explain(error: Exception, lead: str) -> None:
    """Show what went wrong: our sentence, and the core's words as plain text."""
    with st.container(border=True):
        st.markdown(f":red[:material/error:] **{words.escape(lead)}**")
        st.text(str(error))
