"""Which column means what: guessed from the names, changed with a click."""

from __future__ import annotations

import hashlib

import streamlit as st

from iapo_core.reading import (
    Kind,
    PromptColumns,
    QueryColumns,
    Reading,
    Sheet,
    guess_prompt_columns,
    guess_query_columns,
    read_prompts,
    read_queries,
)

_NONE = "–"


def draw(kind: Kind, sheet: Sheet, key: str) -> tuple[Reading, tuple[str, ...]]:
    """Let the columns be told; returns what the rows are then, and the columns that nothing comes from.

    Raises:
        ReadingError: If the columns do not go together.
    """
    if not sheet.columns:  # every row was refused
        return Reading((), sheet.problems, sheet.n_rows), ()
    names = hashlib.sha256("\n".join(sheet.columns).encode("utf-8", "replace")).hexdigest()[:8]
    key = f"{key}:{names}"
    if len(sheet.columns) == 1:
        return _single(kind, sheet)
    return _prompts(sheet, key) if kind == "prompts" else _queries(sheet, key)


def _single(kind: Kind, sheet: Sheet) -> tuple[Reading, tuple[str, ...]]:
    return (read_prompts(sheet) if kind == "prompts" else read_queries(sheet)), ()


def _prompts(sheet: Sheet, key: str) -> tuple[Reading, tuple[str, ...]]:
    guess = guess_prompt_columns(sheet)
    by_role = dict(guess.turns)
    with st.container(horizontal=True):
        id_column = _column("Id", sheet, guess.id, f"{key}:id", "Counted where there is none.")
        title = _column("Title", sheet, guess.title, f"{key}:title", "What people read.")
        system = _column("System turn", sheet, by_role.get("system"), f"{key}:system", "Instructions before the user's turn.")
        user = _column("User turn", sheet, by_role.get("user"), f"{key}:user", "The template that the model answers.")
        turns = _column(
            "Turns",
            sheet,
            guess.messages,
            f"{key}:turns",
            'A list such as [{"role": "user", "content": "..."}], as JSON in a cell.',
        )
    told = PromptColumns(
        tuple((role, column) for role, column in (("system", system), ("user", user)) if column is not None),
        turns,
        id_column,
        title,
    )
    return read_prompts(sheet, told), told.unused(sheet)


def _queries(sheet: Sheet, key: str) -> tuple[Reading, tuple[str, ...]]:
    guess = guess_query_columns(sheet)
    left, middle, right = st.columns([1, 1, 3])
    with left:
        id_column = _column("Id", sheet, guess.id, f"{key}:id", "Counted where there is none.")
    with middle:
        gold = _column("Gold answer", sheet, guess.gold, f"{key}:gold", 'The right answer, or several as ["one", "two"].')
    with right:
        fields = st.multiselect(
            "Input fields",
            list(sheet.columns),
            default=list(guess.fields),
            key=f"{key}:fields",
            help="Prompts call them by {name}; signs other than letters, digits and _ become _.",
        )
    told = QueryColumns(tuple(column for column in fields if column not in (id_column, gold)), gold, id_column)
    return read_queries(sheet, told), told.unused(sheet)


def _column(label: str, sheet: Sheet, guess: str | None, key: str, meaning: str) -> str | None:
    options = [_NONE, *sheet.columns]
    chosen = st.selectbox(label, options, index=options.index(guess) if guess in options else 0, key=key, help=meaning)
    return None if chosen == _NONE else str(chosen)
