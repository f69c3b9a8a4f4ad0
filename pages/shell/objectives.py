"""Editing what counts as good: objectives with their scorers, how completions are aggregated, and what they cost."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.scorers.checks import objective_problems
from iapo_core.scorers.described import described
from iapo_core.scorers.parameters import Described
from iapo_core.task import Strategy
from pages.shell import costs, parameters, words

MAX_OBJECTIVES = 16
NAMES: dict[Strategy, str] = {"majority_vote": "Majority vote", "best_of_n": "Best of N", "mixed": "Mixed"}
WHEN: dict[Strategy, str] = {
    "majority_vote": "For questions with one short right answer. The first objective reads the answer and says whether it is right.",
    "best_of_n": "For texts that are better or worse. Whoever deploys the pick must be able to score its completions, too.",
    "mixed": "For answers that must be right and well put. The first objective votes, the others choose among the winners.",
}
_VERSION, _SEEN = "objectives-version", "objectives-seen"
_EDITED = ("objectives", "strategy", "cost")


def edit(draft: dict[str, Any]) -> None:
    """Draw the editor; writes `objectives`, `strategy` and `cost` of a task file's JSON, and says what is wrong with them.

    A removed objective also leaves the weights of the draft's contexts, so that none weighs what is gone.

    Args:
        draft: The task being written, one object for as long as it is edited (kept in the session); what it lacks is filled in.
    """
    _complete(draft)
    version = _version(draft)
    scorers, broken = described()
    known = {one.name: one for one in scorers}
    _strategy(draft, version)
    st.subheader("Objectives", anchor=False, help="Each scores every completion; a context weighs them against each other.")
    for i in range(len(draft["objectives"])):
        with st.container(border=True):
            _objective(draft, i, known, f"objective:{version}:{i}")
    _add(draft, known, version)
    for name, why in broken.items():
        st.caption(f"The scorer {words.escape(name)} cannot be used: {words.escape(why)}")
    draft["cost"] = costs.edit(draft["cost"], f"cost:{version}")
    st.session_state[_SEEN] = _state(draft)
    _problems(draft)


def _complete(draft: dict[str, Any]) -> None:
    """Give the draft what it lacks; what is of another kind than a task file has is replaced."""
    if not isinstance(draft.get("objectives"), list) or not all(isinstance(one, dict) for one in draft["objectives"]):
        draft["objectives"] = [{"id": "correct", "title": "Correct answer", "scorer": "exact", "params": {}, "range": [0.0, 1.0]}]
    if draft.get("strategy") not in NAMES:
        draft["strategy"] = "majority_vote"
    if not isinstance(draft.get("cost"), dict):
        draft["cost"] = costs.PRESETS["Tokens written"][0].model_dump(mode="json")


def _version(draft: dict[str, Any]) -> int:
    """Return a number that changes when the draft was changed elsewhere: its fields then begin anew, with what it holds."""
    version = int(st.session_state.setdefault(_VERSION, 0))
    if st.session_state.get(_SEEN) != _state(draft):
        version += 1
        st.session_state[_VERSION] = version
    return version


def _state(draft: dict[str, Any]) -> str:
    return json.dumps([draft.get("id"), *(draft.get(name) for name in _EDITED)], sort_keys=True, default=str)


def _strategy(draft: dict[str, Any], version: int) -> None:
    chosen = st.radio(
        "How N completions become one answer",
        list(NAMES),
        format_func=lambda name: NAMES[name],
        index=list(NAMES).index(draft["strategy"]),
        captions=[words.STRATEGIES[name].partition(": ")[2].capitalize() for name in NAMES],
        key=f"strategy:{version}",
        help="The same for every prompt of the task.",
    )
    draft["strategy"] = chosen
    st.caption(WHEN[chosen])


def _objective(draft: dict[str, Any], i: int, known: dict[str, Described], key: str) -> None:
    objective = draft["objectives"][i]
    names = list(known)
    title, scorer, buttons = st.columns([3, 3, 2], vertical_alignment="bottom")
    with title:
        objective["title"] = st.text_input(
            "What counts", str(objective.get("title") or objective.get("id") or ""), key=f"{key}:title",
            help="Its name on charts and cards.",
        )  # fmt: skip
    with scorer:
        chosen = st.selectbox(
            "Scorer",
            names,
            index=names.index(objective["scorer"]) if objective.get("scorer") in known else None,
            format_func=lambda name: f"{name}: {known[name].description}",
            placeholder="choose one",
            key=f"{key}:scorer",
            help="How a completion is scored.",
        )
    with buttons, st.container(horizontal=True, horizontal_alignment="right"):
        if i > 0 and draft["strategy"] != "best_of_n":
            st.button(
                "Vote on this", key=f"{key}:first", on_click=_to_front, args=(draft, i), help="Makes it the first objective."
            )
        st.button(
            "Remove",
            icon=":material/delete:",
            key=f"{key}:remove",
            on_click=_remove,
            args=(draft, i),
            help="Removes it from the task.",
        )
    if chosen is None:
        st.caption(f"The scorer {words.escape(str(objective.get('scorer')))} is not installed here.")
        return
    if chosen != objective.get("scorer"):
        objective["scorer"], objective["params"] = chosen, {}
    about = known[chosen]
    notes = [about.description]
    if i == 0 and draft["strategy"] != "best_of_n":
        notes.append("Completions vote on this one." if about.is_voting else "It reads no answer, so nothing can vote on it.")
    if i > 0 and draft["strategy"] == "majority_vote":
        notes.append("Under majority vote only the first objective counts.")
    elif not any(_weights(context).get(objective.get("id")) for context in draft.get("contexts") or [{}]):
        notes.append("No context weighs it yet; the section Contexts does.")
    st.caption(words.escape(" ".join(notes)))
    given = objective.get("params")
    objective["params"] = parameters.form(about.parameters, given if isinstance(given, dict) else {}, f"{key}:{chosen}")
    _range(objective, key)


def _range(objective: dict[str, Any], key: str) -> None:
    low, high = _limits(objective.get("range"))
    with st.expander("Range of the score"):
        left, right = st.columns(2)
        low = left.number_input("Worst", value=low, format="%g", key=f"{key}:low", help="What a failed completion scores.")
        high = right.number_input("Best", value=high, format="%g", key=f"{key}:high", help="No completion scores more.")
    objective["range"] = [low, high]


def _limits(given: Any) -> tuple[float, float]:
    """Return the draft's range, the usual one where it is none that a task can have."""
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        return 0.0, 1.0
    return (low, high) if -1e6 < low < 1e6 and -1e6 < high < 1e6 else (0.0, 1.0)


def _add(draft: dict[str, Any], known: dict[str, Described], version: int) -> None:
    if len(draft["objectives"]) >= MAX_OBJECTIVES:
        st.caption(f"A task has at most {MAX_OBJECTIVES} objectives.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Another objective",
            list(known),
            index=None,
            format_func=lambda name: f"{name}: {known[name].description}",
            placeholder="choose a scorer",
            key=f"add:{version}",
            help="What else makes a completion good.",
        )
        st.button(
            "Add", icon=":material/add:", key=f"add-it:{version}", disabled=chosen is None, on_click=_append, args=(draft, chosen),
            help="Adds it as the last objective.",
        )  # fmt: skip


def _append(draft: dict[str, Any], scorer: str) -> None:
    taken = {one.get("id") for one in draft["objectives"]}
    name = next(n for n in (scorer, *(f"{scorer}-{i}" for i in range(2, MAX_OBJECTIVES + 2))) if n not in taken)
    draft["objectives"].append({"id": name, "title": "", "scorer": scorer, "params": {}, "range": [0.0, 1.0]})
    _weigh_something(draft, name)


def _remove(draft: dict[str, Any], i: int) -> None:
    """Remove an objective; a context that weighed nothing else weighs the first one that is left."""
    gone = draft["objectives"].pop(i)
    for context in draft.get("contexts") or []:
        _weights(context).pop(gone.get("id"), None)
    if draft["objectives"]:
        _weigh_something(draft, draft["objectives"][0].get("id"))


def _weigh_something(draft: dict[str, Any], name: Any) -> None:
    """Give an objective weight 1 in every context that weighs none: a run would look at the cost alone there."""
    for context in draft.get("contexts") or []:
        if isinstance(context, dict) and not any(_weights(context).values()):
            context["weights"] = _weights(context) | {name: 1.0}


def _weights(context: Any) -> dict[Any, Any]:
    weights = context.get("weights") if isinstance(context, dict) else None
    return weights if isinstance(weights, dict) else {}


def _to_front(draft: dict[str, Any], i: int) -> None:
    draft["objectives"].insert(0, draft["objectives"].pop(i))


def _problems(draft: dict[str, Any]) -> None:
    try:
        found = objective_problems(draft)
    except IapoError as error:  # a scorer's own process does not start
        found = [str(error)]
    for sentence in found:
        st.warning(words.escape(sentence), icon=":material/info:")
