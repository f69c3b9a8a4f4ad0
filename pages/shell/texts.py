"""The actual texts of an arm: its prompt, and its stored completions with how each was judged."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from iapo_core.arms import Arm
from iapo_core.environments import RecordedEnvironment
from iapo_core.environments.recorded import Completion
from iapo_core.environments.stored import StoredEnvironment
from iapo_core.evaluate import Verdict
from iapo_core.task import DecodingConfig, Message, Prompt, Task
from pages.shell import prompts, words
from pages.shell.evidence import Evidence

CLICKED = "clicked-arm"
SHORT = 4  # turns
DRAWN = {0: " (not drawn)", 1: " (drawn on one side)", 2: ""}
Texts = RecordedEnvironment | StoredEnvironment


def read(found: Evidence, verdict: Verdict | None) -> None:
    """Let the user read two arms side by side; begins with the pick, or the arm that was clicked, and the runner-up."""
    if found.task is None or not isinstance(found.environment, Texts):
        st.info("This task carries counts, not texts, so there is nothing to read.", icon=":material/info:")
        return
    names = list(found.environment.candidates)
    pick = verdict.pick if verdict else Arm(names[0], 1)
    rival = (verdict.runner_up if verdict else None) or Arm(names[-1], pick.n)
    clicked = st.session_state.pop(CLICKED, None)
    left, right = st.columns(2, gap="large")
    arms = (
        _choose(found, left, "left", pick, Arm(*clicked) if clicked else None),
        _choose(found, right, "right", rival, None),
    )
    compare(found.environment, found.task, *arms)


def _choose(found: Evidence, column: DeltaGenerator, side: str, default: Arm, clicked: Arm | None) -> Arm:
    name_key, scale_key = f"text-{side}:{found.config.task}", f"text-n-{side}:{found.config.task}:{found.config.n_max}"
    st.session_state.setdefault(name_key, default.candidate)
    st.session_state.setdefault(scale_key, default.n)
    if clicked is not None:
        st.session_state[name_key], st.session_state[scale_key] = clicked.candidate, clicked.n
    with column, st.container(horizontal=True):
        candidate = st.selectbox(
            "Prompt",
            found.environment.candidates,
            format_func=lambda name: found.titles[name],
            key=name_key,
            persist_state="session",
            help="The arm's prompt.",
        )
        n = st.selectbox(
            "N",
            range(1, found.config.n_max + 1),
            key=scale_key,
            persist_state="session",
            width=110,
            help="Completions that are aggregated.",
        )
    return Arm(candidate, n)


def compare(environment: Texts, task: Task, left: Arm, right: Arm) -> None:
    """Show two arms side by side on one query."""
    ids = [q.id for q in task.queries]
    heldout = set(environment.split.heldout.tolist())
    n_drawn = _drawn(environment, left, right)
    row = st.selectbox(
        "Query",
        sorted(range(len(ids)), key=lambda i: -n_drawn[i]),
        key="text-query",
        format_func=lambda i: (
            f"{ids[i]}{' (kept aside)' if i in heldout else ''}{DRAWN[n_drawn[i]]}: {_one_line(task.queries[i].fields)}"
        ),
        help="Queries kept aside were never used to choose. Those that both prompts were drawn on come first.",
    )
    gold = task.queries[row].gold
    if isinstance(gold, str):
        st.caption("Right answer")
        st.text(gold)
    for column, arm, side in zip(st.columns(2, gap="large"), (left, right), ("left", "right"), strict=True):
        with column:
            _one(environment, task, arm, row, side)


def _drawn(environment: Texts, left: Arm, right: Arm) -> list[int]:
    """Return on how many of the two sides each query has completions."""
    sides = [environment.candidates.index(arm.candidate) for arm in (left, right)]
    return [sum(bool(environment.texts(side, row)) for side in sides) for row in range(environment.n_queries)]


def _one(environment: Texts, task: Task, arm: Arm, row: int, side: str) -> None:
    candidate = environment.candidates.index(arm.candidate)
    prompt, decoding = task.candidates[candidate]
    st.markdown(f"**{words.escape(prompt.title or prompt.id)}, N = {arm.n}**")
    height = "content" if len(prompt.messages) <= SHORT else 420  # what it answered stays in sight
    with st.expander("Prompt", expanded=True, key=f"text-prompt-{side}"), st.container(height=height, border=False):
        _rendered(prompt, decoding, task.queries[row].fields)
    stored = environment.texts(candidate, row)
    if not stored:
        st.info("Not drawn: this run took no completion of this prompt on this query.", icon=":material/hourglass_disabled:")
        return
    used = stored[: arm.n]
    st.caption(_spent(used))
    if environment.strategy != "best_of_n":
        votes = Counter(c.answer for c in used)
        st.caption(f"Votes of the first {len(used)} of {len(stored)} stored completions")
        st.dataframe(
            pd.DataFrame(
                [
                    {"Answer": answer if answer is not None else "(no answer found)", "Votes": n}
                    for answer, n in votes.most_common()
                ]
            ),
            hide_index=True,
            key=f"text-votes-{side}",
        )
    titles = words.objective_titles(environment.objectives, task)
    is_priced = any(c.usd == c.usd for c in stored)
    frame = pd.DataFrame(
        [
            {
                "#": i,
                "Counts": i <= arm.n,
                **({"Answer": c.answer or ""} if environment.strategy != "best_of_n" else {}),
                **{titles[o]: c.scores[k] for k, o in enumerate(environment.objectives)},
                "Tokens": c.completion_tokens,
                **({"Dollars": c.usd} if is_priced else {}),
                "Text": c.text if c.error is None else f"(failed: {c.error})",
            }
            for i, c in enumerate(stored, start=1)
        ]
    )
    event = st.dataframe(
        frame,
        hide_index=True,
        key=f"text-completions-{side}",
        on_select="rerun",
        selection_mode="single-row",
        height="content" if len(frame) <= 8 else 300,
        column_config={
            "Counts": st.column_config.CheckboxColumn(help="Whether it is among the arm's N."),
            "Dollars": st.column_config.NumberColumn(format="%.6f", help="What this completion cost."),
        },
    )
    chosen = event["selection"]["rows"] if event else []
    index = chosen[0] if chosen else 0
    st.caption(f"Completion {index + 1}" + ("" if chosen else ", tick a row to read another"))
    st.code(stored[index].text, language=None, wrap_lines=True)


def _spent(used: list[Completion]) -> str:
    """Say what the arm's completions took."""
    dollars = sum(c.usd for c in used)
    tokens = sum(c.prompt_tokens + c.completion_tokens for c in used)
    return f"{len(used)} completions, {tokens:,} tokens with the prompt's" + (
        f", {dollars:.6f} dollars" if dollars == dollars else ""
    )


def _rendered(prompt: Prompt, decoding: DecodingConfig, fields: dict[str, str]) -> None:
    turns = tuple(Message.model_construct(**turn) for turn in decoding.messages(prompt, fields))  # filled in, so past the limits
    prompts.show(prompt.model_copy(update={"messages": turns}))


def _one_line(fields: dict[str, str]) -> str:
    text = " ".join(" ".join(fields.values()).split())
    return text if len(text) <= 80 else f"{text[:79]}…"
