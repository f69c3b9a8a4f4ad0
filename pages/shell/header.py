"""The line above every page: which run is open, where its completions come from, how it stands."""

from __future__ import annotations

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.runs.spending import spending
from pages.shell import session, sitemap, tasks, words


def draw() -> None:
    """Draw the status line; it never fails a page."""
    with st.container(horizontal=True, vertical_alignment="center", key="status-line", gap="small"):
        run_id = session.current()
        if run_id is None:
            st.caption("No run is open. Home shows a finished one.")
            return
        try:
            run = session.store().run(run_id)
            bought = spending(session.store(), run.id) if run.config.live is not None else None
        except IapoError:
            st.badge("No such run", icon=":material/error:", color="red")
            return
        st.text(tasks.title(run.config.task))
        origin_badge(tasks.origin(run.config.task))
        icon, color, label = words.STATES[run.state]
        st.badge(label, icon=icon, color=color)
        n_completions = run.spent if bought is None else bought.bought  # a live run buys before a round is through
        st.caption(f"run {words.escape(run.id)} · {n_completions:,} of {run.config.budget:,} completions")
        st.page_link(
            sitemap.RUN, label="Live view", query_params={"run": run.id}, help="The trim board and the figures of the run."
        )
        st.page_link(sitemap.RESULTS, label="Results", query_params={"run": run.id}, help="The pick per context and why.")


def origin_badge(origin: str) -> None:
    """Say whether completions are real or made up."""
    icon, color, label, meaning = words.ORIGINS[origin]
    st.badge(label, icon=icon, color=color, help=meaning)
