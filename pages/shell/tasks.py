"""Choosing a task of the catalogue, the same way on every page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from iapo_core.environment import Environment
from iapo_core.environments.live_task import LiveTask
from iapo_core.errors import IapoError
from iapo_core.runs import catalogue
from iapo_core.runs.catalogue import TaskEntry
from iapo_core.runs.store import RunRow
from iapo_core.task import Task
from iapo_core.task_file import read_task
from pages.shell import session

_WANTED = "wanted-task"


def entries() -> dict[str, TaskEntry]:
    """Return the catalogue by id."""
    return {entry.id: entry for entry in catalogue.tasks()}


def title(task_id: str) -> str:
    """Return a task's title, or its id where the task is gone."""
    entry = entries().get(task_id)
    return entry.title if entry else task_id


def origin(task_id: str) -> str:
    """Return where a task's completions come from; "gone" where the task is not there any more."""
    entry = entries().get(task_id)
    return entry.origin if entry else "gone"


def want(task_id: str) -> None:
    """Have the next `choose` begin with this task, whatever the URL says."""
    st.session_state[_WANTED] = task_id


def choose() -> TaskEntry:
    """Let the user pick a task; the choice stays in the URL and across pages."""
    known = entries()
    if not known:
        st.info(
            "There is no task yet. Make one on the Task page, or put a task folder into the data folder.",
            icon=":material/info:",
        )
        st.stop()
    asked = st.session_state.pop(_WANTED, None) or st.query_params.get("task")
    if asked in known:  # the URL leads; a change of the box writes it first
        st.session_state["task"] = asked
    chosen = st.selectbox(
        "Task",
        list(known),
        format_func=lambda task_id: known[task_id].title,
        key="task",
        persist_state="session",
        on_change=lambda: st.query_params.update(task=st.session_state["task"]),
        help="Bundled sample tasks, and your own tasks and count tables.",
    )
    if st.query_params.get("task") != chosen:
        st.query_params["task"] = chosen
    return known[chosen if chosen in known else next(iter(known))]


def environment(task_id: str, seed: int = 0) -> Environment:
    """Open a task's environment; where that fails the page says why and ends."""
    try:
        return catalogue.open_environment(task_id, seed)
    except IapoError as error:
        session.explain(error, "This task cannot be opened.")
        st.stop()


def planned(entry: TaskEntry) -> Environment:
    """Open a task for planning a run: a live one buys nothing here."""
    if entry.origin != "live":
        return environment(entry.id)
    try:
        return LiveTask(read_task(entry.path))
    except IapoError as error:
        session.explain(error, "This task cannot be opened.")
        st.stop()


def of_run(run: RunRow) -> Task | None:
    """Return the task of a run with its texts, None where it is gone or has none."""
    try:
        return read_task(catalogue.task_entry(run.config.task).path)
    except IapoError:
        return None


def described(environment: Environment) -> Task | None:
    """Return the task with its texts where the environment has one; count tables have none."""
    found: Any = getattr(environment, "task", None)
    return found if isinstance(found, Task) else None
