"""The door for prompts and queries: a file or pasted text, what was read of it, what its columns mean, and every refused row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.reading import Kind, Reading, Sheet, read_sheet
from iapo_core.reading.sheet import FORMATS, SUFFIXES
from pages.shell import session, words
from pages.shell.editor import mapping

Rows = list[dict[str, Any]]
_ENDINGS = {"prompts": tuple(SUFFIXES), "queries": tuple(e for e in SUFFIXES if SUFFIXES[e] != "TXT")}
_HOW = {
    "prompts": "One prompt per row, item or line. Plain text: one per block, cut at lines of --- or, without any, at blank lines. "
    "{field} marks what a query fills in; other braces are text, and {{field}} is read as the braces themselves.",
    "queries": "One query per row, item or line: input fields by name and, where there is one, the gold answer or a list of them.",
}
_EXAMPLES = {
    "prompts": "Answer in one word. {question}\n---\nThink step by step, then answer in one word. {question}",
    "queries": "question,gold\nWhat is the capital of Norway?,Oslo\nWhat is 2 + 2?,4",
}


def draw(kind: Kind, take: Callable[[Rows, bool], None], *, is_open: bool) -> None:
    """Draw the door; `take` gets the accepted rows and whether they replace those that are there."""
    turn = st.session_state.setdefault(f"intake-turn:{kind}", 0)
    key = f"{kind}-in:{turn}"
    with st.expander(
        f"Add {kind} from a file or by pasting", expanded=is_open, icon=":material/upload_file:", key=f"{kind}-door"
    ):
        st.caption(words.escape(_HOW[kind]))
        way = st.segmented_control(
            "How", ("File", "Paste"), default="File", required=True, key=f"{key}:way", label_visibility="collapsed"
        )
        sheet = _file(kind, key) if way == "File" else _paste(kind, key)
        if sheet is not None:
            _read(kind, sheet, key, take)


def _file(kind: Kind, key: str) -> Sheet | None:
    file = st.file_uploader(
        f"File of {kind}",
        type=list(_ENDINGS[kind]),
        max_upload_size=10,
        key=f"{key}:file",
        help="At most 10 MB, 20,000 rows, 64 columns and 32,000 characters in a cell. Read as text; nothing in it is run.",
    )
    return None if file is None else _sheet(file.getvalue(), file.name, kind, None)


def _paste(kind: Kind, key: str) -> Sheet | None:
    formats = FORMATS if kind == "prompts" else tuple(name for name in FORMATS if name != "TXT")
    chosen = st.segmented_control(
        "It is",
        formats,
        default="TXT" if kind == "prompts" else "CSV",
        required=True,
        key=f"{key}:format",
        help="Tables copied from a spreadsheet are CSV, too: their columns are separated by tabs.",
    )
    text = st.text_area(
        f"Paste {kind} here",
        key=f"{key}:text",
        height=180,
        placeholder=_EXAMPLES[kind],
        help="Read when you leave the box or press Ctrl+Enter.",
    )
    return _sheet(text, "pasted text", kind, chosen) if text.strip() else None


def _sheet(content: bytes | str, source: str, kind: Kind, format: str | None) -> Sheet | None:
    try:
        return read_sheet(content, source, kind, format=format)
    except IapoError as error:
        session.explain(error, "This cannot be read, so nothing was added.")
        return None


def _read(kind: Kind, sheet: Sheet, key: str, take: Callable[[Rows, bool], None]) -> None:
    """Show what was read, let the columns be told, and offer to add it."""
    if sheet.note:
        st.caption(words.escape(sheet.note))
    try:
        reading, unused = mapping.draw(kind, sheet, key)
    except IapoError as error:
        session.explain(error, "These columns do not go together.")
        return
    n_taken = len(reading.rows)
    counted = f"{reading.n_rows:,} {sheet.unit}{'s' if reading.n_rows != 1 else ''} read: {n_taken:,} can be added"
    counted += f", {reading.n_rejected:,} cannot." if reading.n_rejected else "."
    st.markdown(f"**{words.escape(counted)}**")
    if unused:
        st.caption(f"Not used: {words.escape(', '.join(unused))}.")
    if reading.problems:
        _problems(reading, sheet)
    if not reading.rows:
        return
    st.dataframe(_preview(kind, reading), hide_index=True, key=f"{key}:preview", height="content" if n_taken <= 6 else 250)
    if st.session_state.get(f"intake-taken:{kind}") == _mark(reading):
        st.caption(f"These {n_taken:,} {kind} were added. Correct the others and choose the file again, or paste them.")
        return
    with st.container(horizontal=True):
        for label, is_replacing, icon in ((f"Add {n_taken:,} {kind}", False, "add"), ("Replace all", True, "swap_horiz")):
            st.button(
                label,
                type="secondary" if is_replacing else "primary",
                icon=f":material/{icon}:",
                key=f"{kind}-{'replace' if is_replacing else 'add'}",
                on_click=_add,
                args=(kind, reading, is_replacing, take),
                help=f"Puts them in the place of the {kind} that are there." if is_replacing else "Puts them below the others.",
            )


def _add(kind: Kind, reading: Reading, is_replacing: bool, take: Callable[[Rows, bool], None]) -> None:
    take([dict(row) for row in reading.rows], is_replacing)
    if reading.n_rejected:  # what is still to be corrected stays on the page
        st.session_state[f"intake-taken:{kind}"] = _mark(reading)
    else:
        st.session_state[f"intake-turn:{kind}"] += 1


def _mark(reading: Reading) -> int:
    return hash((repr(reading.rows), reading.problems))


def _problems(reading: Reading, sheet: Sheet) -> None:
    frame = pd.DataFrame(
        [
            {
                sheet.unit.capitalize(): problem.row,
                "Column": problem.column or "–",
                "What is wrong": problem.why,
                "What to do": problem.remedy,
            }
            for problem in reading.problems[:500]
        ]
    )
    st.warning(f"{reading.n_rejected:,} of {reading.n_rows:,} were left out. Correct them in the file and choose it again.")
    st.dataframe(frame, hide_index=True, key="intake-problems", height="content" if len(frame) <= 6 else 250)
    if len(reading.problems) > 500:
        st.caption(f"The first 500 of {len(reading.problems):,} are shown.")


def _preview(kind: Kind, reading: Reading) -> pd.DataFrame:
    shown = reading.rows[:50]
    if kind == "prompts":
        return pd.DataFrame(
            [
                {
                    "Id": row["id"],
                    "Title": row["title"],
                    "Turns": len(row["messages"]),
                    "Last turn": row["messages"][-1]["content"],
                }
                for row in shown
            ]
        )
    return pd.DataFrame([{"Id": row["id"], **row["fields"], "Gold": _gold(row.get("gold"))} for row in shown])


def _gold(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else value or ""
