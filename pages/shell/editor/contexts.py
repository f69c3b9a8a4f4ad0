"""The section Contexts: the preferences that a run serves, as a table and as a grid."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.grids import free_name, n_mixes, numbers, weight_grid
from iapo_core.runs.drafts import Draft
from pages.shell import session, words
from pages.shell.editor import state, table

Rows = list[dict[str, Any]]
_ID, _TITLE, _COST = "\u200bId", "\u200bTitle", "\u200bCost"


def draw(draft: Draft) -> None:
    """Draw the section."""
    titles = {str(o["id"]): str(o.get("title") or o["id"]) for o in draft["objectives"]}
    st.caption(
        "A context is a preference: how much each objective counts, and what one unit of cost takes off the score. Every completion "
        "is scored for all of them, so more contexts cost nothing extra."
    )
    _grid(draft, titles)
    table.edit(
        f"contexts-{'-'.join(titles)}",
        draft["contexts"],
        lambda rows: draft.update(contexts=rows),
        lambda rows: _frame(rows, titles),
        lambda frame, base: _rows(frame, titles),
        num_rows="dynamic",
        height=460 if len(draft["contexts"]) > 10 else "auto",
        column_config={
            _ID: st.column_config.TextColumn("Id", width="medium", max_chars=120, help="How programs call it."),
            _TITLE: st.column_config.TextColumn("Title", max_chars=200, help="How people call it."),
            **{
                name: st.column_config.NumberColumn(f"Weight: {title}", min_value=0.0, default=1.0, help="How much it counts.")
                for name, title in titles.items()
            },
            _COST: st.column_config.NumberColumn(
                "Cost weight", min_value=0.0, default=0.0, help="What a unit of cost takes off."
            ),
        },
    )
    st.caption(f"{len(draft['contexts']):,} contexts. Cost is counted in {words.escape(draft['cost']['unit'])}.")


def _frame(rows: Rows, titles: dict[str, str]) -> pd.DataFrame:
    columns = {_ID: pd.Series([row["id"] for row in rows], dtype="object")}
    columns[_TITLE] = pd.Series([row.get("title", "") for row in rows], dtype="object")
    for name in titles:
        columns[name] = pd.Series([row["weights"].get(name, 0.0) for row in rows], dtype="Float64")
    columns[_COST] = pd.Series([row["cost_weight"] for row in rows], dtype="Float64")
    return pd.DataFrame(columns)


def _rows(frame: pd.DataFrame, titles: dict[str, str]) -> Rows:
    given = {table.text(name).strip() for name in frame[_ID]}
    found = []
    for row in frame.to_dict("records"):
        name = table.text(row[_ID]).strip()
        if not name:
            name = free_name("context", given)
            given.add(name)
        weights = {objective: table.number(row[objective]) for objective in titles}
        found.append({"id": name, "title": table.text(row[_TITLE]), "weights": weights, "cost_weight": table.number(row[_COST])})
    return found


def _grid(draft: Draft, titles: dict[str, str]) -> None:
    """Spread contexts evenly over the weights."""
    with st.expander("Make a weight grid", icon=":material/grid_on:", key="weights-box"):
        left, right = st.columns(2)
        with left:
            steps = st.number_input(
                "Steps from one objective to another",
                min_value=2,
                max_value=100,
                value=10,
                key="grid-steps",
                disabled=len(titles) < 2,
                help="10 steps between two objectives are the nine mixes 0.1 to 0.9, 0.2 to 0.8 and so on.",
            )
        with right:
            costs = st.multiselect(
                "Cost weights", ["0", "0.1", "0.2", "0.5", "1", "2"], default=["0", "0.2", "1"], key="grid-costs",
                accept_new_options=True, help="0 ignores the cost.",
            )  # fmt: skip
        steps = int(steps) if len(titles) > 1 else 1
        n_contexts = n_mixes(len(titles), steps) * len(costs) if titles else 0
        st.button(
            f"Replace the contexts by {n_contexts:,}",
            icon=":material/swap_horiz:",
            key="grid-contexts",
            disabled=not n_contexts,
            on_click=_replace,
            args=(draft, list(titles), steps, costs),
            help="Every mix of weights with every cost weight.",
        )
        if refused := st.session_state.pop("weights-refused", None):
            session.explain(refused, "No grid was made.")


def _replace(draft: Draft, names: list[str], steps: int, costs: list[str]) -> None:
    try:
        draft["contexts"] = weight_grid(names, steps, numbers(costs, "cost weight"))
    except IapoError as error:
        st.session_state["weights-refused"] = error
    else:
        state.say(f"{len(draft['contexts']):,} contexts were made.")
