"""Sliders that score the stored completions again for any weights; nothing here buys a completion."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from iapo_core.arms import Contexts
from iapo_core.errors import IapoError
from iapo_core.evaluate import Verdict
from pages.shell import cards, contexts, session, words
from pages.shell.evidence import Evidence

YOURS = "your weights"


def sliders(found: Evidence) -> Contexts:
    """Let the user set weights; starts at the run's first context."""
    st.subheader("Your weights", anchor=False)
    st.caption("Drag, and the stored completions are scored again at once. Nothing is bought.")
    ids = list(found.contexts.ids)

    def load() -> None:
        c = ids.index(st.session_state["weights-from"])
        for k, o in enumerate(found.environment.objectives):
            st.session_state[f"w:{o}"] = float(found.contexts.weights[c, k])
        st.session_state["w:cost"] = float(found.contexts.cost_weights[c])

    if st.session_state.get("weights-from") not in ids:
        st.session_state["weights-from"] = ids[0]
        load()
    st.selectbox(
        "Start from",
        ids,
        format_func=lambda i: found.context_titles[i],
        key="weights-from",
        on_change=load,
        persist_state="session",
        help="Puts the weights of one of the run's contexts on the sliders.",
    )
    values = [
        st.slider(
            f"Weight: {words.escape(title)}",
            0.0,
            max(1.0, float(found.contexts.weights.max())),
            step=0.05,
            key=f"w:{o}",
            persist_state="session",
            help="How much this objective counts.",
        )
        for o, title in found.objective_titles.items()
    ]
    cost = st.slider(
        "Weight: cost",
        0.0,
        _most_cost(found),
        step=0.01,
        key="w:cost",
        persist_state="session",
        help=f"What one unit of cost ({words.escape(found.unit)}) takes off the score.",
    )
    if not any(values):
        st.warning("All objectives weigh 0, so nothing counts. Give one a weight.", icon=":material/info:")
        values[0] = 1.0
    return Contexts((YOURS,), np.array([values]), np.array([cost]))


def take(found: Evidence, points: list[Any]) -> None:
    """Put the weights of a clicked point of the policy map, (share of the first objective, cost weight), on the sliders."""
    if not points:
        return
    mix, cost = float(points[0][0]), float(points[0][1])
    first, *others = found.environment.objectives
    st.session_state[f"w:{first}"] = round(mix, 2)
    if others:
        st.session_state[f"w:{others[0]}"] = round(1.0 - mix, 2)
    st.session_state["w:cost"] = min(round(cost, 2), _most_cost(found))


def _most_cost(found: Evidence) -> float:
    return max(contexts.MAX_COST_WEIGHT, float(found.contexts.cost_weights.max()))


def judged(found: Evidence, weights: Contexts) -> Verdict | None:
    """Pick by what the run drew, and judge the pick on the queries kept aside."""
    try:
        (verdict,) = found.judged(weights)
    except IapoError as error:
        session.explain(error, "These weights cannot be scored yet.")
        return None
    (same,) = found.own(weights)
    name = YOURS if same is None else found.context_titles[found.contexts.ids[same]]
    cards.decision(found, verdict, context=name, key="decision", own=same)
    return verdict
