"""The edit mode as a whole: title, what is still to do, the sections, and saving."""

from __future__ import annotations

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.runs import catalogue, drafts
from iapo_core.runs.drafts import Draft
from iapo_core.task import Task
from pages.shell import objectives, session, sitemap, tasks, tryout
from pages.shell.editor import contexts, models, prompts, queries, state, trouble

SECTIONS = ("Prompts", "Queries", "Models and decoding", "Objectives", "Contexts", "Test")


def draw(draft: Draft) -> None:
    """Draw the draft; each section writes into it."""
    heading, buttons = st.columns([3, 2], vertical_alignment="center")
    with heading:
        st.title("Edit a task")
        st.caption("Kept as a draft while you type; its address brings you back to it. A saved task does not change any more.")
    above = st.container()
    _names(draft)
    panel = st.container()
    section = st.segmented_control(
        "Section", SECTIONS, default=SECTIONS[0], required=True, key="edit", label_visibility="collapsed", bind="query-params"
    )
    with st.container(key="section"):
        if section == "Prompts":
            prompts.draw(draft)
        elif section == "Queries":
            queries.draw(draft)
        elif section == "Models and decoding":
            models.draw(draft)
        elif section == "Objectives":
            objectives.edit(draft)
        elif section == "Contexts":
            contexts.draw(draft)
        else:
            _test(draft)
    task, found = drafts.check(draft)
    with panel:
        trouble.draw(task, found)
    with buttons:
        _buttons(task)
    with above:
        if refused := st.session_state.pop("save-refused", None):
            session.explain(refused, "The task was not saved.")


def _test(draft: Draft) -> None:
    """Try the draft on a few queries once it is a task."""
    task, _ = drafts.check(draft)
    if task is None:
        st.info("A task can be tested when nothing is left to do; see the list above.", icon=":material/info:")
    else:
        tryout.draw(task)


def _names(draft: Draft) -> None:
    left, right = st.columns([2, 3])
    with left:
        state.bound(
            st.text_input,
            "Title",
            draft["title"],
            lambda text: draft.update(title=text),
            key="draft-title",
            max_chars=200,
            placeholder="Capitals of the world",
            help="What people read; its id is made from it.",
        )
    with right:
        state.bound(
            st.text_input,
            "Description",
            draft["description"],
            lambda text: draft.update(description=text),
            key="draft-description",
            max_chars=1000,
            placeholder="What is asked, and what a good answer is.",
            help="A sentence or two for whoever opens it later.",
        )


def _buttons(task: Task | None) -> None:
    with st.container(horizontal=True, horizontal_alignment="right", key="draft-buttons"):
        st.button("Close", icon=":material/arrow_back:", key="draft-close", on_click=state.leave, help="The draft is kept.")
        with st.popover("Discard", icon=":material/delete:", key="draft-discard-box", help="Asks before it does so."):
            st.text("The draft and all that was typed into it are deleted.")
            st.button(
                "Discard this draft",
                key="draft-discard",
                type="primary",
                on_click=lambda: state.leave(is_discarded=True),
                help="Cannot be undone.",
            )
        if st.button(
            "Save the task",
            type="primary",
            icon=":material/save:",
            key="draft-save",
            disabled=task is None,
            help="Puts it into the catalogue, ready to be run." if task is not None else "Possible when nothing is left to do.",
        ):
            _save(task)


def _save(task: Task | None) -> None:
    """Keep the task; the draft has then done its work."""
    if task is None:
        return
    try:
        task_id = catalogue.keep_task(task)
    except (IapoError, OSError) as error:
        st.session_state["save-refused"] = error
        st.rerun()
    state.leave(is_discarded=True)
    tasks.want(task_id)
    state.say(f"{task.title!r} was saved. Run it when you like.")
    session.close_run()
    st.switch_page(sitemap.TASK, query_params={"task": task_id})
