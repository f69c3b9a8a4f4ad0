"""Beginning a task of one's own, and what may be done with those that are there: duplicate, rename, delete."""

from __future__ import annotations

import streamlit as st

from iapo_core.environment import Environment
from iapo_core.errors import IapoError
from iapo_core.runs import catalogue, drafts, own_tasks
from iapo_core.runs.catalogue import TaskEntry
from iapo_core.task_file import parse_task
from pages.shell import session, tasks, words
from pages.shell.editor import state


def draw_start() -> None:
    """Offer an empty draft, a whole task file, and the drafts that are open."""
    with st.container(horizontal=True, vertical_alignment="center", key="task-start"):
        st.button(
            "New task",
            icon=":material/add:",
            key="task-new",
            on_click=lambda: state.begin(drafts.empty()),
            help="Bring prompts and queries of your own.",
        )
        with st.popover("From a task file", icon=":material/upload_file:", key="task-file-box", help="A whole task.json."):
            file = st.file_uploader(
                "task.json",
                type=["json"],
                max_upload_size=10,
                key="task-file",
                help="A whole task, as sample_tasks/README.md says.",
            )
            st.button(
                "Open as a draft", key="task-file-open", disabled=file is None, on_click=_from_file, help="To look and change."
            )
            if refused := st.session_state.pop("task-file-refused", None):
                session.explain(refused, "This is no task yet. Correct the file and choose it again.")
        _open_drafts()


def _open_drafts() -> None:
    found = drafts.entries()
    if not found:
        return
    with st.popover(
        f"Drafts ({len(found)})", icon=":material/edit_note:", key="task-drafts", help="Tasks that are being written."
    ):
        for entry in found[:20]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    words.escape(entry.title or "Untitled"),
                    key=f"draft-open-{entry.id}",
                    on_click=_open,
                    args=(entry.id,),
                    help="Opens it where it was left.",
                )
                st.caption(f"{entry.n_prompts} prompts, {entry.n_queries} queries, {words.age(entry.changed_at)}")
        if len(found) > 20:
            st.caption(f"The last 20 of {len(found)} are shown.")


def draw_actions(entry: TaskEntry, environment: Environment) -> None:
    """Offer what can be done with a task of the catalogue."""
    task = tasks.described(environment)
    st.button(
        "Duplicate and edit",
        icon=":material/content_copy:",
        key="task-duplicate",
        disabled=task is None,
        on_click=lambda: task and state.begin(drafts.of_task(task, title=f"{entry.title[:190]} (copy)")),
        help="Opens a draft with all of it, which buys its completions live."
        if task is not None
        else "This task carries counts, no texts; there is nothing to edit.",
    )
    if catalogue.is_own(entry):
        _rename(entry)
        _delete(entry)


def _rename(entry: TaskEntry) -> None:
    with st.popover("Rename", icon=":material/edit:", key="task-rename-box", help="Its runs stay its runs."):
        st.text_input("Title", entry.title, max_chars=own_tasks.MAX_TITLE, key=f"task-title:{entry.id}", help="What people read.")
        st.button("Rename", key="task-rename", on_click=_do_rename, args=(entry.id,), help="Gives it this title.")
        if refused := st.session_state.pop("task-rename-refused", None):
            session.explain(refused, "It was not renamed.")


def _delete(entry: TaskEntry) -> None:
    with st.popover("Delete", icon=":material/delete:", key="task-delete-box", help="Asks before it does so."):
        n_active, n_other = own_tasks.runs_of(session.store(), entry.id)
        said = "Its prompts and queries are deleted for good."
        if n_other:
            said += f" The picks of its {n_other} finished run(s) stay on the Run page; their texts and details cannot be shown any more."
        st.text(said)
        if n_active:
            st.text(f"{n_active} run(s) of it are active. Cancel them first.")
        st.button(
            "Delete this task", type="primary", key="task-delete", disabled=bool(n_active), on_click=_do_delete, args=(entry.id,),
            help="Cannot be undone.",
        )  # fmt: skip
        if refused := st.session_state.pop("task-delete-refused", None):
            session.explain(refused, "It was not deleted.")


def _open(draft_id: str) -> None:
    st.query_params[state.QUERY] = draft_id


def _from_file() -> None:
    file = st.session_state["task-file"]
    if file is None:
        return
    try:
        state.begin(drafts.of_task(parse_task(file.getvalue(), source=file.name)))
    except IapoError as error:
        st.session_state["task-file-refused"] = error


def _do_rename(task_id: str) -> None:
    try:
        own_tasks.rename_task(task_id, st.session_state[f"task-title:{task_id}"])
    except IapoError as error:
        st.session_state["task-rename-refused"] = error
    else:
        state.say("The task has a new title.")


def _do_delete(task_id: str) -> None:
    try:
        own_tasks.delete_task(session.store(), task_id)
    except IapoError as error:
        st.session_state["task-delete-refused"] = error
        return
    st.query_params.pop("task", None)
    st.session_state.pop("task", None)
    state.say("The task was deleted.")
