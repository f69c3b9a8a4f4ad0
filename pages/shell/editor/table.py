"""Tables that are edited in place and never lose what was typed.

An editor keeps its changes against the frame that it began with. So the frame stays while the editor is on the page, and begins
anew, under a new key, only when the rows were changed elsewhere or the editor was away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st

from pages.shell.editor import state

Rows = list[dict[str, Any]]


def edit(
    name: str,
    rows: Rows,
    write: Callable[[Rows], None],
    frame_of: Callable[[Rows], pd.DataFrame],
    rows_of: Callable[[pd.DataFrame, Rows], Rows],
    **options: Any,
) -> None:
    """Draw the table, and write the rows as they are now.

    Args:
        name: Unique on the page; the widget's key begins with it.
        rows: As the draft holds them.
        write: Puts rows into the draft.
        frame_of: Makes the frame; its index counts the rows.
        rows_of: Reads the edited frame back, beside the rows it was made of: a row's index says which it was, a larger one is new.
        options: For `st.data_editor`.
    """
    held = _held(name)
    if held.ours != _spelled(rows) or key(name) not in st.session_state:
        # An edit state that is there before the first frame belongs to it.
        held.begin(_spelled(rows), frame_of, is_first=held.ours is None and held.frame is None)
    edited = st.data_editor(held.frame, key=key(name), hide_index=True, placeholder="", **options)
    found = rows_of(edited, held.base)
    # Streamlit may end a script at any use of it: nothing of it stands between these two, so that they happen both or neither.
    write(found)
    held.ours = _spelled(found)
    state.store()


@dataclass
class _Table:
    """What an editor began with, and what the draft held when it was last drawn."""

    turn: int = 0
    ours: str | None = None
    base: Rows = field(default_factory=list)
    frame: pd.DataFrame | None = None

    def begin(self, spelled: str, frame_of: Callable[[Rows], pd.DataFrame], *, is_first: bool) -> None:
        """Begin anew from these rows."""
        self.turn += not is_first
        self.base, self.ours = json.loads(spelled), spelled
        self.frame = frame_of(self.base)


def _held(name: str) -> _Table:
    tables: dict[str, _Table] = st.session_state.setdefault("tables", {})
    return tables.setdefault(name, _Table())


def key(name: str) -> str:
    """Return the key of the widget that shows this table now."""
    return f"{name}:{_held(name).turn}"


def renew(name: str) -> None:
    """Have the table begin anew from the draft, because its columns change."""
    _held(name).ours = None


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
