"""Home: a finished run first, then what this is for, the sample tasks and the recent runs."""

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.runs.store import RunRow
from iapo_core.runs.worker import showcase
from pages.shell import cards, evidence, figures, guard, header, session, setup, sitemap, tasks, words

guard.enter()

PITCH = (
    "How good an LLM's answers are depends on the prompt and on how many answers you sample per query. "
    "The best prompt for one sample is often not the best for eight. "
    "IAPO tests both together, drops losers round by round, and picks a pair for each preference within a fixed budget."
)


def main() -> None:
    """Draw the page."""
    st.title("Which prompt, and how many samples per query?")
    st.text(PITCH)
    run = finished_run()
    if run is not None:
        show(run)
    gallery()
    recent()


def finished_run() -> RunRow | None:
    """Return the bundled finished run; where it cannot be made the page says why and goes on."""
    try:
        return session.store().run(showcase(session.store()))
    except IapoError as error:
        st.info("There is no finished run to show yet. Start one below.", icon=":material/info:")
        with st.expander("Why"):
            st.text(str(error))
        return None


def show(run: RunRow) -> None:
    """Show a finished run: the decision beside the board that led to it."""
    found = evidence.of(run)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{words.escape(tasks.title(run.config.task))}**", width="content")
            header.origin_badge(tasks.origin(run.config.task))
        context = st.selectbox(
            "Preference",
            range(len(found.contexts)),
            format_func=lambda c: found.context_titles[found.contexts.ids[c]],
            key="home-context",
            help="A preference weighs the objectives and the cost. Each has its own pick.",
        )
        verdict = found.verdicts[context]
        cards.decision(found, verdict, context=found.context_titles[verdict.context], key="decision", own=context)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.toggle("Replay", key="replay", help="Plays the trimming round by round.")
            if st.button(
                "Run it yourself",
                type="primary",
                icon=":material/play_circle:",
                key="try",
                help="Opens this task on the Run page.",
            ):
                run_task(run.config.task)
            st.page_link(sitemap.RESULTS, label="All results", icon=":material/insights:", query_params={"run": run.id})
    with right, st.container(border=True):
        if st.session_state.get("replay"):
            figures.show_replay(found, context, key="replay-board")
        else:
            figures.show_board(found, context, key="board")


def gallery() -> None:
    """Show the tasks of the catalogue as cards."""
    st.subheader("Tasks to try", anchor=False)
    with st.grid(4, min_column_width=250, gap="small"):
        for entry in tasks.entries().values():
            with st.container(border=True, height="stretch", key=f"card-{entry.id}"):
                header.origin_badge(entry.origin)
                st.markdown(f"**{words.escape(entry.title)}**")
                st.caption(f"{entry.n_prompts} prompts, {entry.n_queries} queries, N up to {entry.n_max}")
                st.caption(words.escape(entry.description))
                st.space("stretch")
                with st.container(horizontal=True, vertical_alignment="center"):
                    if st.button(
                        "Run", icon=":material/play_circle:", key=f"run-{entry.id}", help="Opens this task on the Run page."
                    ):
                        run_task(entry.id)
                    st.page_link(sitemap.TASK, label="Look inside", query_params={"task": entry.id})


def run_task(task_id: str) -> None:
    """Go to the Run page with this task."""
    setup.another()
    st.switch_page(sitemap.RUN, query_params={"task": task_id})


def recent() -> None:
    """List the latest runs, each with its address."""
    st.subheader("Recent runs", anchor=False)
    runs = session.store().runs(limit=20)
    if not runs:
        st.caption("No runs yet. Start one above; it will be listed here and can be found again by its address.")
        return
    st.dataframe(
        [
            {
                "Run": f"run?run={run.id}" if run.is_active else f"results?run={run.id}",
                "State": words.STATES[run.state][2],
                "Task": tasks.title(run.config.task),
                "Spent": f"{run.spent:,} of {run.config.budget:,}",
                "Pick": pick(run),
                "Started": words.age(run.created_at),
            }
            for run in runs
        ],
        hide_index=True,
        key="recent-runs",
        column_config={"Run": st.column_config.LinkColumn(display_text=r"run=(.*)", help="Opens the run in a new tab.")},
    )


def pick(run: RunRow) -> str:
    """Return the arm of a run's first context."""
    if run.policy is None:
        return "–"
    choice = run.policy.choices[0]
    return f"{choice.candidate}, N = {choice.n}" + (
        f" (and {len(run.policy.choices) - 1} more)" if len(run.policy.choices) > 1 else ""
    )


main()
