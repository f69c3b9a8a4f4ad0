"""What keeps the draft from being saved, each as a sentence with its place; nothing is listed where nothing does."""

from __future__ import annotations

import re
from collections.abc import Sized

import streamlit as st

from iapo_core.task import Task
from pages.shell.editor import models

_SECTIONS = {
    "prompts": "Prompts",
    "queries": "Queries",
    "decoding": "Models and decoding",
    "excluded": "Models and decoding",
    "n_max": "Models and decoding",
    "every": "Models and decoding",
    "contexts": "Contexts",
    "title": "Title",
    "description": "Title",
}
_PLAIN = {
    "title": "Give the task a title.",
    "prompts": "There is no prompt yet. Type one, or bring a file.",
    "queries": "There are fewer than two queries. A run learns on some and checks the pick on others.",
    "decoding": "There is no decoding config yet. Add a model.",
    "objectives": "There is no objective. Add one, so that something can be better than something else.",
    "contexts": "There is no context yet. Add one, or make a weight grid.",
}


def draw(task: Task | None, found: list[str]) -> None:
    """Draw the panel."""
    with st.container(border=True, key="trouble"):
        if task is not None:
            n_arms = len(task.candidates) * task.n_max
            st.markdown(":green[:material/check_circle:] **Ready to be saved.**")
            st.caption(
                f"{_count(task.prompts, 'prompt')}, {_count(task.decoding, 'config')}, {_count(task.candidates, 'candidate')} with N "
                f"up to {task.n_max}: {n_arms:,} arms. {_count(task.queries, 'query')}, {_count(task.contexts, 'context')}."
            )
            return
        st.markdown(f":orange[:material/rule:] **To do before it can be saved: {len(found)}**")
        for line in found[:12]:
            section, said = sentence(line)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(section, color="orange")
                st.text(said)
        if len(found) > 12:
            st.caption(f"And {len(found) - 12} more.")


def sentence(line: str) -> tuple[str, str]:
    """Return the section that a finding belongs to, and its sentence."""
    place = line.split(maxsplit=1)[0].rstrip(":")
    section = _SECTIONS.get(place, "Objectives")
    is_count = "at least" in line and line.startswith(f"{place}: ")
    if place in _PLAIN and is_count:
        return section, _PLAIN[place]
    if row := re.match(r"decoding row (\d+) (\w+): ", line):  # a column is called as the table calls it
        line = f"decoding row {row[1]}, {models.LABELS.get(row[2], row[2])}: {line[row.end() :]}"
    return section, line[0].upper() + line[1:]


def _count(items: Sized, name: str) -> str:
    n = len(items)
    return f"{n:,} {name if n == 1 else name[:-1] + 'ies' if name.endswith('y') else name + 's'}"
