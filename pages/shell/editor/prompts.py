"""The section Prompts: a table of all, and one prompt turn by turn."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from iapo_core.grids import free_name
from iapo_core.runs.drafts import Draft
from iapo_core.task import MAX_PROMPT_CHARACTERS
from pages.shell.editor import download, intake, state, table

Rows = list[dict[str, Any]]
_ROLES = {"system": "System: instructions", "user": "User", "assistant": "Assistant: example answer"}


def draw(draft: Draft) -> None:
    """Draw the section."""
    intake.draw("prompts", lambda rows, is_replacing: take(draft, rows, is_replacing), is_open=not draft["prompts"])
    table.edit(
        "prompts",
        draft["prompts"],
        lambda rows: draft.update(prompts=rows),
        _frame,
        _rows,
        num_rows="dynamic",
        height=360 if len(draft["prompts"]) > 8 else "auto",
        disabled=["Turns"],
        column_config={
            "Id": st.column_config.TextColumn(width="small", max_chars=120, help="Counted where you leave it empty."),
            "Title": st.column_config.TextColumn(width="medium", max_chars=200, help="What people read."),
            "Text": st.column_config.TextColumn(
                "Text of the last turn",
                width="large",
                max_chars=MAX_PROMPT_CHARACTERS,
                help="{field} is filled in by each query.",
            ),
            "Turns": st.column_config.NumberColumn(width="small", help="Chat turns; edit them one by one below."),
        },
    )
    if not draft["prompts"]:
        st.caption("Type prompts into the table, or bring a file. Two or more make a choice.")
        return
    _turns(draft)
    download.draw("prompts", draft["prompts"])


def take(draft: Draft, rows: Rows, is_replacing: bool) -> None:
    """Add prompts that were read; an id that is taken gets a number."""
    draft["prompts"] = ([] if is_replacing else draft["prompts"]) + unique(rows, [] if is_replacing else draft["prompts"])
    state.say(f"{len(rows):,} prompts were added.")


def unique(rows: Rows, others: Rows) -> Rows:
    """Return rows whose ids differ from the others' and from one another."""
    taken = {str(row.get("id")) for row in others}
    found = []
    for row in rows:
        name = free_name(str(row["id"]), taken)
        taken.add(name)
        found.append(row | {"id": name})
    return found


def _frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Id": pd.Series([row.get("id") for row in rows], dtype="object"),
            "Title": pd.Series([row.get("title", "") for row in rows], dtype="object"),
            "Text": pd.Series([row["messages"][-1]["content"] if row["messages"] else "" for row in rows], dtype="object"),
            "Turns": pd.Series([len(row["messages"]) for row in rows], dtype="Int64"),
        }
    )


def _rows(frame: pd.DataFrame, base: Rows) -> Rows:
    """Read the table back: its text is the last turn of the prompt that it belongs to."""
    given = {table.text(name).strip() for name in frame["Id"]}
    found = []
    for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
        place = table.position(index, len(base))
        before = base[place]["messages"] if place is not None else []
        turns = [*before[:-1], {"role": before[-1]["role"] if before else "user", "content": table.text(row["Text"])}]
        name = table.text(row["Id"]).strip()
        if not name:
            name = free_name("prompt", given)
            given.add(name)
        found.append({"id": name, "title": table.text(row["Title"]), "messages": turns})
    return found


def _turns(draft: Draft) -> None:
    """Edit one prompt turn by turn."""
    rows = draft["prompts"]
    with st.expander("Edit a prompt turn by turn", icon=":material/forum:", key="turns-box"):
        chosen = st.selectbox(
            "Prompt",
            range(len(rows)),
            format_func=lambda k: f"{rows[k]['id']}: {rows[k]['title']}" if rows[k]["title"] else str(rows[k]["id"]),
            key="turns-of",
            help="Turns before the last are instructions and examples; the model answers the last.",
        )
        prompt = rows[min(chosen or 0, len(rows) - 1)]
        for place, turn in enumerate(prompt["messages"]):
            _turn(prompt, place, turn)
        with st.container(horizontal=True):
            st.button(
                "Add a turn", icon=":material/add:", key="turn-add", on_click=_append, args=(prompt,), help="Below the last."
            )
            if not any(turn["role"] == "system" for turn in prompt["messages"]):
                st.button(
                    "Add a system turn",
                    icon=":material/vertical_align_top:",
                    key="turn-system",
                    on_click=lambda: prompt.update(messages=[{"role": "system", "content": ""}, *prompt["messages"]]),
                    help="Instructions, said first.",
                )


def _turn(prompt: dict[str, Any], place: int, turn: dict[str, str]) -> None:
    head, away = st.columns([5, 1], vertical_alignment="bottom")
    with head:
        state.bound(
            st.selectbox,
            f"Turn {place + 1}",
            turn["role"],
            lambda role: turn.update(role=role),
            key=f"turn-role:{place}",
            options=list(_ROLES),
            format_func=lambda role: _ROLES[role],
            help="Who says it.",
        )
    with away:
        st.button(
            "Remove",
            icon=":material/delete:",
            key=f"turn-remove:{place}",
            disabled=len(prompt["messages"]) == 1,
            on_click=lambda: prompt["messages"].pop(place),
            help="Removes this turn.",
        )
    state.bound(
        st.text_area,
        f"Text of turn {place + 1}",
        turn["content"],
        lambda text: turn.update(content=text),
        key=f"turn-text:{place}",
        max_chars=MAX_PROMPT_CHARACTERS,
        label_visibility="collapsed",
        height=110,
    )


def _append(prompt: dict[str, Any]) -> None:
    last = prompt["messages"][-1]["role"] if prompt["messages"] else "assistant"
    prompt["messages"].append({"role": "assistant" if last == "user" else "user", "content": ""})
