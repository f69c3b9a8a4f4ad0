"""The live view: figures that tick each second, charts that are drawn anew at the end of a round."""

from __future__ import annotations

import streamlit as st

from iapo_core.runs.store import RunRow
from iapo_core.runs.worker import ensure_worker
from pages.shell import evidence, figures, purchase, session, words
from pages.shell.evidence import Evidence


def draw(run: RunRow) -> None:
    """Draw one run; while it is active the KPI row polls the store and starts the page over at a round's end."""
    found = evidence.of(run)
    every = 1.0 if run.is_active else None
    if run.config.live is None:
        st.fragment(_kpis, run_every=every)(run.id, (run.state, run.round), found)
    else:
        st.fragment(purchase.kpis, run_every=every)(run.id, (run.state, run.round))
        purchase.picks(run, found)
    if not found.history.rounds:
        when = "when" if run.is_active else "once the run goes on, when"
        st.info(f"The board appears {when} the first round has been drawn and scored.", icon=":material/hourglass_empty:")
        return
    context, show = _choices(found)
    left, right = st.columns([3, 2], gap="medium")
    with left, st.container(border=True):
        figures.show_board(found, context, key="board", show=show)
    with right, st.container(border=True):
        figures.show_curtain(found, key="curtain")
    with st.container(border=True):
        figures.show_rounds(found, key="contexts-rounds")
    with st.container(border=True):
        figures.show_race(found, context or 0, key="race")


def _choices(found: Evidence) -> tuple[int | None, str]:
    """Let the user choose whose board is shown (None: all contexts at once) and what colours it."""
    ids = list(found.contexts.ids)
    options: list[int | None] = [*range(len(ids)), *([None] if len(ids) > 1 else [])]
    left, right = st.columns([3, 2], gap="medium", vertical_alignment="bottom")
    with left:
        context = st.selectbox(
            "Context shown",
            options,
            format_func=lambda c: "All contexts: share in which an arm is alive" if c is None else found.context_titles[ids[c]],
            key=figures.LIVE_CONTEXT,
            help="The board and the race show one preference at a time; all are trimmed at once.",
        )
    with right:
        show = st.segmented_control(
            "Colour of the board",
            list(figures.SHOWS),
            format_func=lambda name: figures.SHOWS[name],
            default="round",
            required=True,
            key="live-show",
            help="What the colour of a cell says.",
        )
    return context, show


def _kpis(run_id: str, drawn: tuple[str, int], found: Evidence) -> None:
    """Draw the figures in words; ticks on its own."""
    run = session.store().run(run_id)
    if (run.state, run.round) != drawn:
        st.rerun()
    if run.is_active:
        ensure_worker(session.store())  # whoever watches a run whose worker was killed brings a new one
    with st.container(horizontal=True, key="kpis"):
        st.metric(
            "Round",
            f"{run.round} of {run.n_rounds}" if run.n_rounds else "–",
            border=True,
            help="Each round halves the arms of every context.",
        )
        st.metric(
            "Arms alive", f"{found.history.n_alive:,}", border=True, help="Arms that still compete, per context on average."
        )
        st.metric("Spent", f"{run.spent:,} of {run.config.budget:,}", border=True, help="Completions drawn, of the hard cap.")
        label, value, meaning = words.clock(run)
        st.metric(label, value, border=True, help=meaning)
        st.metric(
            "Reused", f"{found.history.n_reused:,}", border=True, help="Completions that had been served before in this run."
        )
        st.metric(
            "Errors",
            "none" if not found.history.n_failed else f"{found.history.n_failed:,} failed",
            border=True,
            help="Failed completions score the minimum; none is dropped.",
        )
