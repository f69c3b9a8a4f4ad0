"""A run that buys its completions: what is in flight, what it waits for, what it costs, and its picks."""

from __future__ import annotations

import streamlit as st

from iapo_core.runs.ledger import Spending, spending
from iapo_core.runs.store import RunRow
from iapo_core.runs.worker import ensure_worker
from pages.shell import session, words
from pages.shell.evidence import Evidence


def kpis(run_id: str, drawn: tuple[str, int]) -> None:
    """Draw the figures in words; ticks on its own and starts the page over at a round's end."""
    run = session.store().run(run_id)
    if (run.state, run.round) != drawn:
        st.rerun()
    if run.is_active:
        ensure_worker(session.store())
    now = spending(session.store(), run_id)
    with st.container(horizontal=True, key="kpis"):
        rounds = f"{run.round} of {run.n_rounds}" if run.n_rounds else "–"
        st.metric("Round", rounds, border=True, help="Each round halves the arms of every context.")
        for label, value, meaning in [*_figures(now, run.config.budget), words.clock(run)]:
            st.metric(label, value, border=True, help=meaning)
    if now is None:
        return
    st.progress(min(now.bought / max(now.cap, 1), 1.0), text=_so_far(now))
    if now.waiting and run.is_active:
        st.caption(f":material/hourglass_top: Waiting. {words.escape(now.waiting)}")


def _so_far(now: Spending) -> str:
    """Say how far the purchase is, beside its caps."""
    dollars = "" if now.max_usd is None else f", {now.usd:.4f} of {now.max_usd:g} dollars"
    return f"{now.bought:,} of {now.cap:,} completions{dollars}"


def _figures(now: Spending | None, budget: int) -> list[tuple[str, str, str]]:
    if now is None:
        return [("Bought", f"0 of {budget:,}", "Nothing was bought yet.")]
    cap = "no cap" if now.max_usd is None else f"of {now.max_usd:g} $"
    shown = [
        (
            "Bought",
            f"{now.bought:,} of {now.cap:,}",
            f"Completions that may have been billed, a hard cap. Up to {now.allowance:,} more may replace lost ones.",
        ),
        ("Dollars", f"{now.usd:.4f} $", f"Spent or reserved, {cap}. 0 where the model's price is not known."),
        ("In flight", f"{now.in_flight:,}", "Calls that wait for their answer."),
        ("Reused", f"{now.reused:,}", "Completions that another run has paid for; they cost nothing here."),
        ("Failed", f"{now.failed:,}", "Answers that could not be used. They score the minimum; none is dropped."),
    ]
    if now.verdict_cap:
        unread = f" {now.unread:,} gave no score." if now.unread else ""
        meaning = f"Calls of judging models, {words.usd(now.verdict_usd)} of the dollars.{unread}"
        shown.append(("Verdicts", f"{now.verdicts:,} of {now.verdict_cap:,}", meaning))
    if now.lost:
        shown.append(("Lost", f"{now.lost:,}", "Calls in flight when a process died. They count as bought."))
    return shown


def picks(run: RunRow, found: Evidence) -> None:
    """Draw the picks once there are any, with what the held-out check says of them."""
    if run.policy is None:
        return
    st.subheader("Picks", help="One arm per context: a prompt with its decoding, and how many completions to draw of it.")
    rows = []
    for choice in run.policy.choices:
        known = choice.estimate
        rows.append(
            {
                "Context": found.context_titles.get(choice.context, choice.context),
                "Prompt": found.titles.get(choice.candidate, choice.candidate),
                "N": choice.n,
                "Held-out utility": "–" if known is None else words.number(known.value),
                "95 % interval": "not checked" if known is None else words.interval(known.low, known.high),
                "Held-out queries": 0 if known is None else known.n_queries,
            }
        )
    utility = st.column_config.TextColumn(help="Mean score after cost, on queries that no round saw.")
    st.dataframe(rows, hide_index=True, key="live-picks", column_config={"Held-out utility": utility})
