"""The preferences of a run: the task's grid as a table, and sliders to add one's own."""

from __future__ import annotations

import re

import pandas as pd
import streamlit as st

from iapo_core.environment import Environment
from iapo_core.task import Context
from pages.shell import tasks, words

MAX_COST_WEIGHT = 2.0
_USE, _NAME, _TITLE, _COST = "Use", "Name", "Title", "Cost weight"


def choose(environment: Environment, task_id: str) -> tuple[Context, ...]:
    """Let the user edit the contexts; returns the ones in use.

    The table starts as the task's own grid. Rows can be switched off, changed, added and removed.
    """
    titles = words.objective_titles(environment.objectives, tasks.described(environment))
    base, version = _base(environment, task_id)
    edited = st.data_editor(
        base,
        key=f"contexts:{task_id}:{version}",
        num_rows="dynamic",
        hide_index=True,
        column_config={
            _USE: st.column_config.CheckboxColumn(
                default=True, width="small", help="Only ticked contexts are served by the run."
            ),
            _NAME: st.column_config.TextColumn(required=True, max_chars=120, help="How programs call it."),
            _TITLE: st.column_config.TextColumn(max_chars=200, help="How people call it."),
            **{
                o: st.column_config.NumberColumn(f"Weight: {titles[o]}", min_value=0.0, default=1.0, required=True)
                for o in titles
            },
            _COST: st.column_config.NumberColumn(
                min_value=0.0, default=0.0, required=True, help="What one unit of cost takes off the score."
            ),
        },
    )
    st.session_state[f"contexts-edited:{task_id}"] = edited
    _add_own(titles, task_id)
    kept = edited[edited[_USE].fillna(False).astype(bool)]
    return tuple(
        Context(
            id=str(row[_NAME]).strip(),
            title=_text(row[_TITLE]),
            weights={o: float(row[o]) for o in titles},
            cost_weight=float(row[_COST]),
        )
        for row in kept.dropna(subset=[_NAME, _COST, *titles]).to_dict("records")
    )


def prefill(task_id: str, contexts: tuple[Context, ...], objectives: tuple[str, ...]) -> None:
    """Put a run's contexts into the table, to run them again."""
    rows = [
        {_USE: True, _NAME: c.id, _TITLE: c.title, **{o: c.weights.get(o, 0.0) for o in objectives}, _COST: c.cost_weight}
        for c in contexts
    ]
    _replace(task_id, pd.DataFrame(rows))


def _name(text: str) -> str:
    """Return a name with the signs that a context's id may have."""
    return re.sub(r"[^A-Za-z0-9 ._:/+@-]", "", text).strip()


def _text(cell: object) -> str:
    """Return a cell's text; an empty cell is None or nan."""
    return cell.strip() if isinstance(cell, str) else ""


def _base(environment: Environment, task_id: str) -> tuple[pd.DataFrame, int]:
    key = f"contexts-base:{task_id}"
    if key not in st.session_state:
        grid = environment.contexts
        frame = pd.DataFrame({_USE: True, _NAME: [_name(i) for i in grid.ids]})
        task = tasks.described(environment)
        known = {c.id: c.title for c in task.contexts} if task else {}
        frame[_TITLE] = [known.get(i, "") for i in grid.ids]
        for k, objective in enumerate(environment.objectives):
            frame[objective] = grid.weights[:, k]
        frame[_COST] = grid.cost_weights
        st.session_state[key] = (frame, 0)
    return st.session_state[key]


def _replace(task_id: str, frame: pd.DataFrame) -> None:
    """Start the table again from these rows; a new key lets go of the edits, which the rows already hold."""
    _, version = st.session_state.get(f"contexts-base:{task_id}", (None, 0))
    st.session_state[f"contexts-base:{task_id}"] = (frame, version + 1)


def _add_own(titles: dict[str, str], task_id: str) -> None:
    with st.popover("Add a context", icon=":material/add:", key="own-context", help="Set the weights with sliders."):
        for objective, title in titles.items():
            st.slider(
                f"Weight: {words.escape(title)}",
                0.0,
                1.0,
                0.5 if len(titles) > 1 else 1.0,
                0.05,
                key=f"own:{objective}",
                help="How much this objective counts.",
            )
        st.slider(
            "Weight: cost", 0.0, MAX_COST_WEIGHT, 0.2, 0.05, key="own:cost", help="What one unit of cost takes off the score."
        )
        st.button("Add to the table", key="own-add", on_click=_append, args=(tuple(titles), task_id), help="Adds a row below.")


def _append(objectives: tuple[str, ...], task_id: str) -> None:
    weights = {o: float(st.session_state[f"own:{o}"]) for o in objectives}
    cost = float(st.session_state["own:cost"])
    frame = st.session_state[f"contexts-edited:{task_id}"]
    name = " ".join([*(f"{o} {w:g}" for o, w in weights.items()), f"cost {cost:g}"])
    taken = set(frame[_NAME].astype(str))
    unique = name if name not in taken else next(f"{name} - {i}" for i in range(2, 10_000) if f"{name} - {i}" not in taken)
    _replace(
        task_id,
        pd.concat([frame, pd.DataFrame([{_USE: True, _NAME: unique, _TITLE: "", **weights, _COST: cost}])], ignore_index=True),
    )
