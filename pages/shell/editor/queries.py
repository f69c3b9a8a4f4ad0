"""The section Queries: input fields and gold answers, edited in place."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from iapo_core.grids import free_name
from iapo_core.reading.cells import from_list_cell, list_cell
from iapo_core.runs.drafts import Draft
from pages.shell.editor import download, intake, prompts, state, table

Rows = list[dict[str, Any]]
_ID, _GOLD = "\u200bId", "\u200bGold"  # no field bears these names


def draw(draft: Draft) -> None:
    """Draw the section."""
    intake.draw("queries", lambda rows, is_replacing: take(draft, rows, is_replacing), is_open=not draft["queries"])
    fields = fields_of(draft)
    table.edit(
        "queries",
        draft["queries"],
        lambda rows: draft.update(queries=rows),
        lambda rows: _frame(rows, fields),
        lambda frame, base: _rows(frame, base, fields),
        num_rows="dynamic",
        height=460 if len(draft["queries"]) > 10 else "auto",
        column_config={
            _ID: st.column_config.TextColumn("Id", width="small", max_chars=120, help="Counted where you leave it empty."),
            _GOLD: st.column_config.TextColumn("Gold answer", help='The right answer; several as ["one", "two"]. Empty: none.'),
        },
    )
    _fields(draft, fields)
    if draft["queries"]:
        n_gold = sum(query.get("gold") is not None for query in draft["queries"])
        st.caption(
            f"{len(draft['queries']):,} queries, {n_gold:,} with a gold answer. A run learns on 80 % of them and keeps 20 % aside "
            "for the final estimate."
        )
        download.draw("queries", draft["queries"])


def take(draft: Draft, rows: Rows, is_replacing: bool) -> None:
    """Add queries that were read; an id that is taken gets a number."""
    draft["queries"] = ([] if is_replacing else draft["queries"]) + prompts.unique(rows, [] if is_replacing else draft["queries"])
    state.say(f"{len(rows):,} queries were added.")


def fields_of(draft: Draft) -> list[str]:
    """Return the fields of the queries, else those that the prompts ask for, else one."""
    named = dict.fromkeys(name for query in draft["queries"] for name in query["fields"])
    extra = st.session_state.setdefault("new-fields", [])
    asked = re.findall(
        r"(?<!\{)\{([A-Za-z_]\w*)\}", "\n".join(turn["content"] for prompt in draft["prompts"] for turn in prompt["messages"])
    )
    return list(named | dict.fromkeys(extra)) or list(dict.fromkeys(asked)) or ["question"]


def _frame(rows: Rows, fields: list[str]) -> pd.DataFrame:
    columns = {_ID: [row.get("id") for row in rows]}
    columns |= {name: [row["fields"].get(name) for row in rows] for name in fields}
    columns[_GOLD] = [list_cell(row.get("gold")) or None for row in rows]
    return pd.DataFrame({name: pd.Series(cells, dtype="object") for name, cells in columns.items()})


def _rows(frame: pd.DataFrame, base: Rows, fields: list[str]) -> Rows:
    given = {table.text(name).strip() for name in frame[_ID]}
    found = []
    for row in frame.to_dict("records"):
        name = table.text(row[_ID]).strip()
        if not name:
            name = free_name("query", given)
            given.add(name)
        query: dict[str, Any] = {"id": name, "fields": {f: row[f] for f in fields if isinstance(row.get(f), str)}}
        gold = from_list_cell(table.text(row[_GOLD]))
        if gold is not None:
            query["gold"] = gold
        found.append(query)
    return found


def _fields(draft: Draft, fields: list[str]) -> None:
    """Add a field to all queries, or take one away."""
    with st.popover("Fields", icon=":material/view_column:", key="fields-box", help="Add a column, or remove one."):
        st.text_input("New field", key="field-new", max_chars=60, placeholder="context", help="Prompts call it by {name}.")
        st.button("Add the field", key="field-add", on_click=_add_field, help="A column for every query.")
        st.selectbox("Field to remove", fields, index=None, key="field-old", help="Its texts are removed from every query.")
        st.button("Remove the field", key="field-remove", on_click=_remove_field, args=(draft,), help="Cannot be undone.")


def _add_field() -> None:
    name = re.sub(r"\W+", "_", st.session_state["field-new"]).strip("_")
    if name and not name[0].isdigit():
        st.session_state["new-fields"] = [*st.session_state.get("new-fields", []), name]
        st.session_state["field-new"] = ""
        table.renew("queries")


def _remove_field(draft: Draft) -> None:
    name = st.session_state["field-old"]
    st.session_state["new-fields"] = [each for each in st.session_state.get("new-fields", []) if each != name]
    draft["queries"] = [query | {"fields": {f: t for f, t in query["fields"].items() if f != name}} for query in draft["queries"]]
    st.session_state["field-old"] = None
    table.renew("queries")
