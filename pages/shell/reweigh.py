"""Sliders that score the stored completions again for any weights; nothing here buys a completion."""

from __future__ import annotations

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
            st.session_state[f"w:{o}"] = min(float(found.contexts.weights[c, k]), 1.0)
        st.session_state["w:cost"] = min(float(found.contexts.cost_weights[c]), contexts.MAX_COST_WEIGHT)

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
            1.0,
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
        contexts.MAX_COST_WEIGHT,
        step=0.05,
        key="w:cost",
        persist_state="session",
        help=f"What one unit of cost ({words.escape(found.unit)}) takes off the score.",
    )
    if not any(values):
        st.warning("All objectives weigh 0, so nothing counts. Give one a weight.", icon=":material/info:")
        values[0] = 1.0
    return Contexts((YOURS,), np.array([values]), np.array([cost]))


def judged(found: Evidence, weights: Contexts) -> Verdict | None:
    """Pick by what the run drew, and judge the pick on the queries kept aside."""
    try:
        (verdict,) = found.judged(weights)
    except IapoError as error:
        session.explain(error, "These weights cannot be scored yet.")
        return None
    (same,) = found.own(weights)
    name = YOURS if same is None else found.context_titles[found.contexts.ids[same]]
    cards.decision(found, verdict, weights.weights[0], context=name, key="decision")
    return verdict
