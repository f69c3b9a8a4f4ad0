"""A task of the catalogue, read only: its prompts, queries, objectives, contexts and provenance."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from iapo_core.environment import Environment
from iapo_core.errors import ScorerError
from iapo_core.scorers.described import describe
from iapo_core.task import Task
from pages.shell import costs, prompts, tasks, tryout, words

VIEWS = ("Prompts", "Queries", "Objectives and cost", "Contexts", "Test", "Provenance")


def draw(environment: Environment) -> None:
    """Draw the view that the URL names."""
    task = tasks.described(environment)
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="task_view", label_visibility="collapsed", bind="query-params"
    )
    if view == "Contexts":
        contexts(environment)
    elif task is None:
        without_texts(environment, view)
    else:
        {
            "Prompts": show_prompts,
            "Queries": queries,
            "Objectives and cost": objectives,
            "Test": tryout.draw,
            "Provenance": provenance,
        }[view](task)


def show_prompts(task: Task) -> None:
    """Show one prompt as its chat turns, beside the list of all."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        frame = pd.DataFrame(
            {
                "Prompt": [p.id for p in task.prompts],
                "Title": [p.title for p in task.prompts],
                "Turns": [len(p.messages) for p in task.prompts],
            }
        )
        st.dataframe(frame, hide_index=True, key="prompt-table", height="content" if len(frame) <= 16 else 560)
    with right:
        by_id = {p.id: p for p in task.prompts}
        chosen = st.selectbox(
            "Read a prompt",
            list(by_id),
            format_func=lambda i: f"{i}: {by_id[i].title}" if by_id[i].title else i,
            key="prompt-read",
            help="{field} marks what each query fills in.",
        )
        prompts.show(by_id[chosen])


def queries(task: Task) -> None:
    """Show the queries as a table."""
    fields = sorted({name for q in task.queries for name in q.fields})
    frame = pd.DataFrame(
        [
            {
                "Query": q.id,
                **{f: q.fields.get(f, "") for f in fields},
                "Right answer": q.gold if isinstance(q.gold, str) else ", ".join(q.gold or ()),
            }
            for q in task.queries
        ]
    )
    st.dataframe(frame, hide_index=True, key="query-table", height=480)


def objectives(task: Task) -> None:
    """Say in words what is scored and what a completion costs."""
    for objective in task.objectives:
        low, high = objective.range
        with st.container(border=True):
            st.markdown(f"**{words.escape(objective.title or objective.id)}**")
            st.caption(f"Scored by `{objective.scorer}` for every completion, from {low:g} (worst) to {high:g} (best).")
            st.caption(words.escape(_meaning(objective.scorer)))
            if objective.params:
                st.code(str(objective.params), language=None, wrap_lines=True)
    with st.container(border=True):
        st.markdown("**Cost of one completion**")
        st.caption(f"{costs.in_words(task.cost)} A context's cost weight says how much one unit takes off the score.")


def _meaning(scorer: str) -> str:
    try:
        return describe(scorer).description
    except ScorerError as error:
        return f"It cannot be used here: {error}"


def contexts(environment: Environment) -> None:
    """Show the preferences that the task serves."""
    names = words.objective_titles(environment.objectives, tasks.described(environment))
    weights = environment.contexts
    frame = pd.DataFrame(
        {
            "Context": weights.ids,
            **{f"Weight: {names[o]}": weights.weights[:, k] for k, o in enumerate(environment.objectives)},
            "Weight: cost": weights.cost_weights,
        }
    )
    st.dataframe(frame, hide_index=True, key="context-table")


def provenance(task: Task) -> None:
    """Say where the completions come from."""
    st.text(words.ORIGINS[task.origin][3])
    frame = pd.DataFrame(
        [
            {
                "Decoding": d.id,
                "Model": d.model,
                "Temperature": d.temperature,
                "Top-p": d.top_p,
                "Longest answer (tokens)": d.max_tokens,
            }
            for d in task.decoding
        ]
    )
    st.dataframe(frame, hide_index=True, key="decoding-table")
    st.caption("Fingerprint of the task's content. Equal fingerprints mean the same task.")
    st.code(task.fingerprint, language=None)


def without_texts(environment: Environment, view: str) -> None:
    """Show what a count table or a simulation has: names and costs, no texts."""
    if view == "Prompts":
        frame = pd.DataFrame({"Candidate": environment.candidates, "Mean cost of a completion": environment.mean_costs()})
        st.dataframe(frame, hide_index=True, key="candidate-table", height=420)
    elif view == "Provenance":
        st.text(words.ORIGINS["simulated" if environment.is_simulated else "table"][3])
    elif view == "Queries":
        st.text(
            f"{len(environment.split.train)} queries to learn on and {len(environment.split.heldout)} kept aside. "
            "This task carries no texts."
        )
    elif view == "Test":
        st.text("This task carries no texts to look at.")
    else:
        st.text(f"Objectives: {', '.join(environment.objectives)}. The table carries scores and costs, not texts.")
