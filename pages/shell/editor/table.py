"""Tables that are edited in place and never lose what was typed.

An editor keeps its changes against the frame that it began with. So the frame stays while the editor is on the page, and begins
anew, under a new key, only when the rows were changed elsewhere or the editor was away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

Rows = list[dict[str, Any]]


def edit(
    name: str,
    rows: Rows,
    frame_of: Callable[[Rows], pd.DataFrame],
    rows_of: Callable[[pd.DataFrame, Rows], Rows],
    **options: Any,
) -> Rows:
    """Draw the table; returns the rows as they are now.

    Args:
        name: Unique on the page; the widget's key begins with it.
        rows: As the draft holds them.
        frame_of: Makes the frame; its index counts the rows.
        rows_of: Reads the edited frame back, beside the rows it was made of: a row's index says which it was, a larger one is new.
        options: For `st.data_editor`.
    """
    place = f"table:{name}"
    held: dict[str, Any] = st.session_state.get(place, {"turn": 0})
    key = f"{name}:{held['turn']}"
    if held.get("ours") != _spelled(rows) or key not in st.session_state:
        # A seeded edit state (a test's, or one that came with the page) belongs to the first frame.
        turn = held["turn"] + ("ours" in held)
        held = {"turn": turn, "base": json.loads(_spelled(rows)), "ours": _spelled(rows)}
        held["frame"] = frame_of(held["base"])
        key = f"{name}:{turn}"
    edited = st.data_editor(held["frame"], key=key, hide_index=True, placeholder="", **options)
    found = rows_of(edited, held["base"])
    held["ours"] = _spelled(found)
    st.session_state[place] = held
    return found


def key(name: str) -> str:
    """Return the key of the widget that shows this table now."""
    return f"{name}:{st.session_state.get(f'table:{name}', {'turn': 0})['turn']}"


def renew(name: str) -> None:
    """Have the table begin anew from the draft, because its columns change."""
    place = f"table:{name}"
    if place in st.session_state:
        st.session_state[place] = st.session_state[place] | {"ours": None}


def text(cell: Any) -> str:
    """Return a cell's text; an empty cell is None or nan."""
    return cell if isinstance(cell, str) else ""


def number(cell: Any) -> float | None:
    """Return a cell's number, None where it is empty."""
    return None if cell is None or pd.isna(cell) else float(cell)


def whole(cell: Any) -> int | None:
    """Return a cell's whole number, None where it is empty."""
    found = number(cell)
    return None if found is None else int(found)


def position(index: Any, n_rows: int) -> int | None:
    """Return which of the base rows a row of the edited frame was, None where it is new."""
    return int(index) if int(index) < n_rows else None


def _spelled(rows: Rows) -> str:
    return json.dumps(rows, sort_keys=False)
