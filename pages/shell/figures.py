"""The figures of a run on a page: evidence -> record -> figure, each drawn with its alternative text and its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from iapo_core.arms import Arm
from iapo_core.evaluate import Scores
from iapo_core.outputs.bands import dominance_bands, draw_dominance_bands
from iapo_core.outputs.board import draw_trim_board, trim_board
from iapo_core.outputs.canvas import Labels
from iapo_core.outputs.choices import contexts_by_prompt, draw_contexts_by_prompt
from iapo_core.outputs.curtain import draw_survival_curtain, survival_curtain
from iapo_core.outputs.curves import draw_scaling_curves, scaling_curves
from iapo_core.outputs.palette import prompt_hues
from iapo_core.outputs.race import draw_race_of_finalists, race_of_finalists
from iapo_core.outputs.replay import draw_replay
from iapo_core.outputs.rounds import contexts_by_rounds, draw_contexts_by_rounds
from iapo_core.outputs.tradeoffs import draw_fronts, draw_fronts_by_scale, fronts_across_scales
from iapo_core.outputs.weights import draw_policy_map, map_contexts, policy_map
from pages.shell import charts, sitemap, texts, words
from pages.shell.evidence import Evidence

LIVE_CONTEXT = "live-context"
SHOWS = {"round": "Round it left", "estimate": "Estimate", "samples": "Queries seen"}


def labels(found: Evidence) -> Labels:
    """Return names for people, and the hue of each prompt, the same on every page."""
    names = found.environment.candidates
    return Labels(
        candidates=tuple(found.titles[name] for name in names),
        contexts=tuple(found.context_titles[name] for name in found.contexts.ids),
        is_simulated=found.environment.is_simulated,
        objectives=tuple(found.objective_titles.values()),
        cost_unit=found.unit,
        hues=prompt_hues(found.history.ranking(), charts.theme()),
    )


def show_board(found: Evidence, context: int | None, *, key: str, show: str = "round") -> None:
    """Draw the trim board; a click on an arm says where it stands and leads to its texts."""
    record = trim_board(found.history, labels(found), context, show)
    points = charts.show_selectable(draw_trim_board(record, charts.theme()), record, key=key)
    if points:
        _clicked(found, points[0], key)


def show_replay(found: Evidence, context: int, *, key: str) -> None:
    """Draw the board with a Play button."""
    names = labels(found)
    record = trim_board(found.history, names, context)
    charts.show(draw_replay(found.history, names, context, charts.theme()), record, key=key)


def _clicked(found: Evidence, point: Any, key: str) -> None:
    """Offer the texts of the arm that was clicked."""
    row, n = int(point[0]), int(point[1])
    arm = Arm(found.environment.candidates[row], n)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{words.escape(found.titles[arm.candidate])}, N = {arm.n}**", width="content")
        if found.task is not None and st.button(
            "Read its texts", key=f"{key}-texts", icon=":material/chat:", help="Its prompt and its stored completions."
        ):
            st.session_state[texts.CLICKED] = (arm.candidate, arm.n)
            st.switch_page(sitemap.RESULTS, query_params={"run": found.run_id, "view": "Texts"})


def show_rounds(found: Evidence, *, key: str) -> None:
    """Draw arms left per context and round; a click on a row shows that context."""

    def show_context(points: list[Any]) -> None:
        if points:
            st.session_state[LIVE_CONTEXT] = int(points[0][0])

    record = contexts_by_rounds(found.history, labels(found))
    charts.show_selectable(draw_contexts_by_rounds(record, charts.theme()), record, key=key, on_click=show_context)


def show_race(found: Evidence, context: int, *, key: str) -> None:
    """Draw the race of the finalists."""
    record = race_of_finalists(found.history, labels(found), context)
    charts.show(draw_race_of_finalists(record, charts.theme()), record, key=key)


def show_curtain(found: Evidence, *, key: str) -> None:
    """Draw how the arms fall."""
    record = survival_curtain(found.history, labels(found), found.config.budget)
    charts.show(draw_survival_curtain(record, charts.theme()), record, key=key)


def show_fronts(found: Evidence, scores: Scores, pick: Arm, *, key: str) -> None:
    """Draw the Pareto fronts across scales; a click on an arm leads to its texts."""
    record = fronts_across_scales(scores, 0, _for(found, scores), pick)
    points = charts.show_selectable(draw_fronts(record, charts.theme()), record, key=key)
    if points:
        _clicked(found, points[0], key)
    charts.show(draw_fronts_by_scale(record, charts.theme()), record, key=f"{key}-by-scale")


def _for(found: Evidence, scores: Scores) -> Labels:
    """Return the labels with the names of the contexts that were scored."""
    return replace(labels(found), contexts=scores.contexts.ids)


def show_ribbon(found: Evidence, scores: Scores, *, key: str) -> None:
    """Draw which prompt is best at every cost limit."""
    record = dominance_bands(scores, 0, _for(found, scores))
    charts.show(draw_dominance_bands(record, charts.theme()), record, key=key)


def show_policy_map(found: Evidence, scores: Scores, *, key: str, on_click: Callable[[list[Any]], None]) -> None:
    """Draw which arm wins at every mix of weights; a click hands the weights over."""
    weights = scores.contexts.weights[0]
    total = float(weights[:2].sum()) or 1.0
    contexts, mixes = map_contexts(len(weights), weights[2:] / total)
    here = (float(weights[0]) / total, float(scores.contexts.cost_weights[0]) / total)
    record = policy_map(found.q(contexts, scores.source), mixes, labels(found), here)
    charts.show_selectable(draw_policy_map(record, charts.theme()), record, key=key, on_click=on_click)


def show_scaling(found: Evidence, scores: Scores, objective: int | None, *, key: str) -> None:
    """Draw quality against N for the best prompts."""
    record = scaling_curves(scores, 0, _for(found, scores), objective)
    charts.show(draw_scaling_curves(record, charts.theme()), record, key=key)


def show_choices(found: Evidence, *, key: str) -> None:
    """Draw the N that each context chose of which prompt."""
    record = contexts_by_prompt(found.picks, found.environment.candidates, labels(found))
    charts.show(draw_contexts_by_prompt(record, charts.theme()), record, key=key)
