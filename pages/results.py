"""Results: the pick per context, how sure it is, and what other weights would have picked; all from stored completions."""

from math import isnan

import pandas as pd
import streamlit as st

from iapo_core.arms import Contexts
from iapo_core.bound import theorem1
from iapo_core.errors import IapoError
from iapo_core.evaluate import Scores, Verdict
from iapo_core.resampling import stability_in_words
from pages.shell import cards, evidence, figures, guard, reweigh, session, sitemap, texts, words
from pages.shell.evidence import Evidence

guard.enter()

SOURCES = {"heldout": "Queries kept aside", "train": "What the run drew"}
VIEWS = ("Trade-off", "Who wins where", "Scaling", "Contexts", "Texts", "Guarantee")


def main() -> None:
    """Draw the page."""
    run = session.row_or_showcase()
    found = evidence.of(run)
    st.title("Results")
    try:
        verdicts = found.verdicts
    except IapoError as error:
        st.info("There is nothing to show yet: no arm was estimated.", icon=":material/hourglass_empty:")
        st.text(str(error))
        st.page_link(sitemap.RUN, label="Back to the run", query_params={"run": run.id})
        return
    if run.state != "finished":
        st.info(f"This run is {run.state}: these are its results after {run.spent:,} completions.", icon=":material/info:")
    if found.unchecked:
        st.info(found.unchecked, icon=":material/info:")
    left, right = st.columns([2, 3], gap="large")
    with left:
        weights = reweigh.sliders(found)
    with right:
        verdict = reweigh.judged(found, weights)
    st.subheader("What the run picked, per context", anchor=False)
    cards.table([line(found, v) for v in verdicts], key="picks")
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="view", bind="query-params", label_visibility="collapsed"
    )
    draw_view(found, view, weights, verdict)


def line(found: Evidence, verdict: Verdict) -> dict[str, object]:
    """Return one row of the table of picks."""
    rival = verdict.runner_up
    return {
        "Context": found.context_titles[verdict.context],
        "Pick": f"{found.titles[verdict.pick.candidate]}, N = {verdict.pick.n}",
        "Verdict": words.verdict(verdict)[1],
        "Utility (95 %)": f"{words.number(verdict.value)} ({words.interval(verdict.low, verdict.high)})",
        "Queries": f"{verdict.n_queries} {'aside' if verdict.source == 'heldout' else 'drawn'}",
        "Cost / query": verdict.cost_per_query,
        "Runner-up": f"{found.titles[rival.candidate]}, N = {rival.n}" if rival else "none",
        "Margin (95 %)": f"{words.number(verdict.margin)} ({words.interval(verdict.margin_low, verdict.margin_high)})",
    }


def draw_view(found: Evidence, view: str, weights: Contexts, verdict: Verdict | None) -> None:
    """Draw the part that is asked for, and only that."""
    if view == "Guarantee":
        guarantee(found)
    elif view == "Texts":
        texts.read(found, verdict)
    elif view == "Contexts":
        figures.show_choices(found, key="contexts-prompt")
    elif verdict is None:
        st.info("Give an objective a weight to see this.", icon=":material/info:")
    else:
        source = st.segmented_control(
            "Estimated on",
            list(SOURCES),
            format_func=lambda name: SOURCES[name],
            default="heldout" if found.config.live is None else "train",
            required=True,
            key="source",
            help="Queries kept aside were never used to choose. What the run drew is what it decided by.",
        )
        scores = found.heldout(weights) if source == "heldout" else found.drawn(weights)
        not_drawn(found, scores)
        extrapolated(found, verdict)
        if not scores.is_known.any():
            return
        if view == "Trade-off":
            figures.show_fronts(found, scores, verdict.pick, key="fronts")
        elif view == "Scaling":
            figures.show_scaling(found, scores, objective(found), key="scaling")
        else:
            figures.show_ribbon(found, scores, key="ribbon")
            st.caption("Click a point of the map to put its weights on the sliders.")
            figures.show_policy_map(found, scores, key="policy-map", on_click=lambda points: reweigh.take(found, points))


def not_drawn(found: Evidence, scores: Scores) -> None:
    """Name what a live run has no completions for; the charts leave it out."""
    missing = [found.titles[name] for name, n in zip(scores.candidates, scores.n_queries, strict=True) if not n.any()]
    if not missing:
        return
    where = "the queries kept aside, where a live run checks its picks alone" if scores.source == "heldout" else "this run"
    st.caption(
        f":material/hourglass_disabled: Not drawn in {words.escape(where)}, and not in these charts: "
        f"{words.escape(words.listed(missing))}."
    )


def extrapolated(found: Evidence, verdict: Verdict) -> None:
    """Say where the charts end below the pick, because the run never drew its N."""
    most = found.most_drawn(verdict.pick.candidate)
    if 0 < most < verdict.pick.n:
        st.caption(
            f":material/info: {words.escape(found.titles[verdict.pick.candidate])} was drawn up to N = {most}, where its charts end; "
            f"larger N was not drawn, and the run extrapolated the picked N = {verdict.pick.n}."
        )


def objective(found: Evidence) -> int | None:
    """Let the user look at one objective alone; None is all of them, weighted."""
    titles = list(found.objective_titles.values())
    if len(titles) < 2:
        return None
    options = [-1, *range(len(titles))]
    chosen = st.segmented_control(
        "Quality",
        options,
        format_func=lambda k: "Weighted" if k < 0 else words.escape(titles[k]),
        default=-1,
        required=True,
        key="objective",
        help="All objectives by your weights, or what one alone reaches when the best completion for it is kept.",
    )
    return None if chosen < 0 else chosen


def guarantee(found: Evidence) -> None:
    """Say what the theorem promises for this run's own gaps, and beside it how often resampled queries give the same picks."""
    if found.config.algorithm == "psst":
        bound = theorem1(found.drawn(found.contexts).q, found.config.budget)
        with st.container(border=True):
            st.markdown("**What the guarantee says**")
            st.text(bound.in_words(found.config.budget))
            st.caption(
                "Theorem 1 bounds the chance of missing the best arm in any context, from the gaps between arms: here, the run's own "
                "estimates. It is a worst case. The verdicts above rest on measured intervals instead."
            )
    else:
        st.info(f"{words.algorithm(found.config.algorithm)} has no guarantee by theorem.", icon=":material/info:")
    with st.container(border=True):
        st.markdown("**How often the pick comes out again**")
        st.text(stability_in_words(found.stability))
        frame = pd.DataFrame(
            {
                "Context": [found.context_titles[c] for c in found.contexts.ids],
                "Pick": [f"{found.titles[arm.candidate]}, N = {arm.n}" for arm in found.picks],
                "Same prompt": [f"{one.same_candidate:.0%}" for one in found.stability],
                "Same prompt and N": ["not drawn" if isnan(one.same_arm) else f"{one.same_arm:.0%}" for one in found.stability],
            }
        )
        st.dataframe(frame, hide_index=True, key="stability-table")
        st.caption(
            "The queries that the run drew on are drawn again, with replacement, some hundred times; each time the best arm is read "
            "off the same completions. A pick that often changes is one of several near ties."
        )


main()
