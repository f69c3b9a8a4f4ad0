"""The decision card: what was picked for a context, how sure that is, and what it costs."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from iapo_core.evaluate import Verdict
from pages.shell import words
from pages.shell.evidence import Evidence

SOURCES = {
    "heldout": ("queries kept aside", "queries that were never used to choose"),
    "train": ("queries that the run drew", "the queries that chose it: rather too high"),
}


def decision(found: Evidence, verdict: Verdict, *, context: str, key: str, own: int | None = None) -> None:
    """Draw one card, judged on the queries kept aside where the pick was drawn there.

    Args:
        found: What is known of the run.
        verdict: The pick to show.
        context: Name of the preference that it answers.
        key: Unique on the page.
        own: Which of the run's contexts it answers, None for other weights.
    """
    color, label, sentence = words.verdict(verdict)
    unit = words.escape(found.unit)
    with st.container(border=True, key=key):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Pick for {words.escape(context)}", width="content")
            st.badge(label, color=color, help=sentence)
        st.subheader(f"{words.escape(found.titles[verdict.pick.candidate])}, N = {verdict.pick.n}", anchor=False)
        with st.container(horizontal=True):
            st.metric("Utility", words.number(verdict.value), help=f"Mean score after cost, on {SOURCES[verdict.source][1]}.")
            st.metric("Cost per query", words.cost(verdict.cost_per_query), help=f"N completions, counted in {unit}.")
            st.metric("Per 1,000 queries", words.cost(1000 * verdict.cost_per_query), help=f"Counted in {unit}.")
        if verdict.value != verdict.value:
            _not_drawn(found, verdict, own)
        else:
            n_drawn = found.n_drawn(verdict.pick, verdict.source)
            behind = f" and {n_drawn:,} completions of this prompt" if n_drawn else ""
            st.caption(
                f"95 % interval {words.interval(verdict.low, verdict.high)}, "
                f"from {verdict.n_queries} {SOURCES[verdict.source][0]}{behind}. Cost is in {unit}."
            )
        if verdict.value == verdict.value and verdict.source == "train":
            st.caption(
                ":material/info: This arm was not drawn on the queries kept aside, so the figure comes from the queries that chose "
                "it, and is rather too high; the interval reaches further down by what resampling the queries says of that."
            )
        if verdict.runner_up is None:
            alone = len(found.environment.candidates) == 1
            st.caption("There is no other prompt to compare with." if alone else "No margin over another prompt was measured.")
            return
        rival = f"{words.escape(found.titles[verdict.runner_up.candidate])}, N = {verdict.runner_up.n}"
        by = "" if verdict.margin_source == "heldout" else ", by what the run drew"
        st.caption(
            f"Runner-up: {rival}. Margin {words.number(verdict.margin)} "
            f"({words.interval(verdict.margin_low, verdict.margin_high)}){by}. {sentence}"
        )


def _not_drawn(found: Evidence, verdict: Verdict, own: int | None) -> None:
    """Say why a pick has no figure, what the run's own model makes of it, and what to do."""
    most, modelled = found.most_drawn(verdict.pick.candidate), None if own is None else found.modelled(verdict.pick, own)
    by_model = (
        f"The run's own model estimate is {words.number(modelled[0])} ± {words.number(modelled[1])}."
        if modelled is not None
        else "The run's own model has no estimate to show for these weights."
    )
    reached = f"from up to {most} completions per query" if most else "without any completion of this prompt"
    st.caption(
        f":material/info: N = {verdict.pick.n} was never drawn: the run extrapolates it {reached}. {by_model} "
        "No measurement stands behind it; check it with a larger budget or a larger held-out share."
    )


def table(rows: list[dict[str, Any]], *, key: str) -> None:
    """Draw all contexts as one table."""
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key=key,
        column_config={
            # Widths in pixels, so that the margin is still on the page at 1,280.
            "Context": st.column_config.TextColumn(width=130),
            "Pick": st.column_config.TextColumn(width=215),
            "Verdict": st.column_config.TextColumn(width=110),
            "Utility (95 %)": st.column_config.TextColumn(width=155, help="Mean score after cost."),
            "Queries": st.column_config.TextColumn(
                width=75, help="Queries behind the estimate: kept aside, or those that the run drew where it did not check."
            ),
            "Cost / query": st.column_config.NumberColumn(width=86, format="%.3g"),
            "Runner-up": st.column_config.TextColumn(width=205),
            "Margin (95 %)": st.column_config.TextColumn(width=155, help="Lead over the runner-up, paired by query."),
        },
    )
