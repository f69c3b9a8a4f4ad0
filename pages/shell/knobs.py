"""The knobs of a run, one function each; their values stay while the user visits other pages."""

from __future__ import annotations

from typing import Any

import streamlit as st

from iapo_core.environment import Environment
from iapo_core.optimize import ALGORITHMS, recommend
from iapo_core.runs.catalogue import TaskEntry
from pages.shell import words

# Enough for PSST to pull each of a sample task's prompts at the largest N in its first round.
DEFAULT_BUDGET = 5_000
SLIDER = (100, 20_000, 100)
MOST_COMPLETIONS = 10_000_000
PACES = {"watch": ("Watch it: about 1 s a round", 1.0), "once": ("At once", 0.0)}


def on_slider(budget: int) -> int:
    """Return the place of a budget on the slider."""
    return min(max(budget, SLIDER[0]), SLIDER[1])


def budget() -> int | None:
    """Return the budget in completions, from a slider and a number that follow each other; None where it cannot be one.

    The number has no limits of its own: what the browser refuses, Streamlit drops without a word, and the last number would count.
    """
    st.session_state.setdefault("budget", DEFAULT_BUDGET)
    st.session_state.setdefault("budget-slider", DEFAULT_BUDGET)

    def from_slider() -> None:
        st.session_state["budget"] = st.session_state["budget-slider"]

    def from_number() -> None:
        st.session_state["budget-slider"] = on_slider(st.session_state["budget"])

    slider, number = st.columns([3, 2], vertical_alignment="bottom")
    slider.slider(
        "Budget T",
        SLIDER[0],
        SLIDER[1],
        step=SLIDER[2],
        key="budget-slider",
        on_change=from_slider,
        persist_state="session",
        help="How many completions the run may spend in all. A hard cap: it is never passed.",
    )
    chosen = int(
        number.number_input(
            "Completions",
            step=100,
            key="budget",
            on_change=from_number,
            persist_state="session",
            help="The same budget as a number; any whole number will do.",
        )
    )
    if 1 <= chosen <= MOST_COMPLETIONS:
        return chosen
    st.error(
        f"A budget is a whole number of completions from 1 to {MOST_COMPLETIONS:,}, not {chosen:,}; nothing can be started with it.",
        icon=":material/error:",
    )
    return None


def n_max(environment: Environment, task_id: str) -> int:
    """Return the largest scale to try."""
    if environment.n_max == 1:
        st.caption("This task has one completion per query, so N is 1.")
        return 1
    key = f"n_max:{task_id}"
    st.session_state.setdefault(key, environment.n_max)
    return int(
        st.slider(
            "Largest N",
            1,
            environment.n_max,
            key=key,
            persist_state="session",
            help="The largest number of completions per query that may be chosen.",
        )
    )


def algorithm(environment: Environment, budget: int | None, n_max: int) -> tuple[str, dict[str, Any]]:
    """Return the algorithm and its options; say which one suits the budget."""
    names = [name for name in ALGORITHMS if name in words.ALGORITHMS]
    st.session_state.setdefault("algorithm", names[0])
    chosen = st.segmented_control(
        "Algorithm",
        names,
        format_func=lambda name: words.ALGORITHMS[name][0],
        key="algorithm",
        required=True,
        persist_state="session",
        help="How the budget is spent.",
    )
    st.caption(words.ALGORITHMS[chosen][1])
    if budget is not None and (better := recommend(len(environment.candidates), n_max, budget)) != chosen:
        st.caption(
            f":material/lightbulb: For {budget:,} completions we recommend {words.ALGORITHMS[better][0]}: {words.WHY[better]}"
        )
    if chosen != "psst-topk" or len(environment.candidates) < 2:
        return chosen, {}
    st.session_state.setdefault("k", min(4, len(environment.candidates)))
    return chosen, {
        "k": int(
            st.slider(
                "K: prompts that stay",
                1,
                len(environment.candidates),
                key="k",
                persist_state="session",
                help="Prompts that each context keeps after screening at N = 1.",
            )
        )
    }


def pace(entry: TaskEntry) -> float:
    """Return how long a round lasts at least, in seconds."""
    if entry.origin == "live":
        return 0.0
    st.session_state.setdefault("pace", "watch")
    chosen = st.segmented_control(
        "Pace",
        list(PACES),
        format_func=lambda p: PACES[p][0],
        key="pace",
        required=True,
        persist_state="session",
        help="Stored completions are there at once; a slower pace lets you watch the trimming.",
    )
    return PACES[chosen][1]


def seed() -> int:
    """Return the seed."""
    st.session_state.setdefault("seed", 0)
    return int(
        st.number_input(
            "Seed",
            min_value=0,
            max_value=2**31 - 1,
            key="seed",
            persist_state="session",
            help="Equal settings with an equal seed give equal runs. It also decides which queries are kept aside.",
        )
    )
