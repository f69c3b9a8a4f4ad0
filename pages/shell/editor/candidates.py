"""Which prompt goes with which decoding config: a matrix of ticks."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from iapo_core.runs.drafts import Draft
from pages.shell.editor import table

_PROMPT = "\u200bPrompt"  # no config bears this name
MAX_SHOWN = 24


def draw(draft: Draft) -> None:
    """Draw the matrix; what is unticked is switched off."""
    names = [str(row["id"]) for row in draft["decoding"]]
    if not draft["prompts"] or not names:
        return
    st.subheader("Candidates", anchor=False, help="A prompt with a decoding config. Untick those that should not be tried.")
    off = pruned(draft)
    n_all = len(draft["prompts"]) * len(names)
    if len(names) > MAX_SHOWN or len(set(names)) < len(names):
        st.caption(f"The matrix is drawn for up to {MAX_SHOWN} configs with ids of their own.")
        return
    switched = {(one["prompt"], one["decoding"]) for one in off}
    rows = [
        {"prompt": str(prompt["id"]), "on": [(prompt["id"], name) not in switched for name in names]}
        for prompt in draft["prompts"]
    ]
    table.edit(
        "candidates",
        rows,
        lambda found: draft.update(excluded=_excluded(found, names)),
        lambda base: _frame(base, names),
        lambda frame, base: _rows(frame, base, names),
        num_rows="fixed",
        disabled=[_PROMPT],
        height=420 if len(rows) > 10 else "auto",
        column_config={
            _PROMPT: st.column_config.TextColumn("Prompt"),
            **{name: st.column_config.CheckboxColumn(name, help="On or off, prompt by prompt.") for name in names},
        },
    )
    st.caption(f"{n_all - len(draft['excluded']):,} of {n_all:,} are on.")


def pruned(draft: Draft) -> list[dict[str, str]]:
    """Return what is switched off, without the prompts and configs that are gone."""
    prompts = {row["id"] for row in draft["prompts"]}
    configs = {row["id"] for row in draft["decoding"]}
    return [one for one in draft["excluded"] if one["prompt"] in prompts and one["decoding"] in configs]


def _frame(rows: list[dict[str, Any]], names: list[str]) -> pd.DataFrame:
    columns: dict[str, Any] = {_PROMPT: [row["prompt"] for row in rows]}
    return pd.DataFrame(columns | {name: [row["on"][k] for row in rows] for k, name in enumerate(names)})


def _rows(frame: pd.DataFrame, base: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    return [{"prompt": row["prompt"], "on": [bool(frame[name].iloc[k]) for name in names]} for k, row in enumerate(base)]


def _excluded(rows: list[dict[str, Any]], names: list[str]) -> list[dict[str, str]]:
    return [
        {"prompt": row["prompt"], "decoding": name}
        for row in rows
        for name, is_on in zip(names, row["on"], strict=True)
        if not is_on
    ]
