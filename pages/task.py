"""Task: what is being optimised, in the user's words; bring one's own, edit it, save it."""

import streamlit as st

from iapo_core.runs.catalogue import TaskEntry
from pages.shell import guard, header, own, session, sitemap, task_view, tasks, upload, words
from pages.shell.editor import page, state

guard.enter()


def main() -> None:
    """Draw the draft that the URL names, else a task of the catalogue."""
    if (said := state.said()) is not None:
        st.toast(words.escape(said), icon=":material/check:")
    draft = state.current()
    if draft is not None:
        page.draw(draft)
        state.store()
        return
    st.title("Task")
    st.caption("The prompts to choose from, the queries to learn on, what counts as good, and what a completion costs.")
    own.draw_start()
    entry = tasks.choose()
    look(entry)
    upload.draw()


def look(entry: TaskEntry) -> None:
    """Show a task of the catalogue, and what can be done with it."""
    environment = tasks.planned(entry)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(words.escape(entry.title), anchor=False, width="content")
            header.origin_badge(entry.origin)
        if entry.description:
            st.text(entry.description)
        st.caption(words.STRATEGIES[entry.strategy])
        with st.container(horizontal=True, vertical_alignment="center", key="task-actions"):
            if st.button(
                "Run this task",
                type="primary",
                icon=":material/play_circle:",
                key="task-run",
                on_click=session.close_run,
                help="Set the budget and the contexts on the Run page.",
            ):
                st.switch_page(sitemap.RUN, query_params={"task": entry.id})
            own.draw_actions(entry, environment)
    with st.container(horizontal=True):
        st.metric("Candidates", entry.n_prompts, border=True, help="Each prompt with its decoding settings is one candidate.")
        st.metric(
            "Queries", entry.n_queries, border=True, help="80 % are for learning; 20 % are kept aside for the final estimate."
        )
        st.metric("Largest N", entry.n_max, border=True, help="N is how many completions are sampled per query and aggregated.")
        st.metric("Arms", f"{entry.n_prompts * entry.n_max:,}", border=True, help="An arm is a prompt together with its N.")
        st.metric(
            "Contexts",
            len(environment.contexts),
            border=True,
            help="A context is a preference: a weight per objective and one for cost.",
        )
    task_view.draw(environment)


main()
