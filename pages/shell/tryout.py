"""Testing a task on three queries before any run: what it costs, then the real completions and how each was judged."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from iapo_core.environments import RecordedEnvironment
from iapo_core.errors import IapoError
from iapo_core.policy import candidate_name
from iapo_core.runs import tries
from iapo_core.runs.ledger import spending
from iapo_core.runs.store import RunRow
from iapo_core.runs.tries import Plan, Tried
from iapo_core.scorers import make_scorer
from iapo_core.scorers.golds import gold_vote
from iapo_core.task import Query, Task
from pages.shell import keys, session, tasks, words


def draw(task: Task) -> None:
    """Draw the test of a task: its candidates, what it buys, and once it has, every completion with its scores.

    Args:
        task: A checked task, saved or not. A recorded one must be in the catalogue, and is read for free.
    """
    st.subheader(
        f"Test on {tries.N_QUERIES} queries",
        anchor=False,
        help="See what comes back, and how each objective judges it, before a run.",
    )
    if task.origin == "simulated":
        st.caption("A simulated task has no texts to look at.")
        return
    names = [candidate_name(prompt, decoding, task) for prompt, decoding in task.candidates]
    chosen = st.multiselect(
        "Candidates to try",
        range(len(names)),
        default=[0],
        format_func=lambda c: names[c] if c < len(names) else "gone",
        max_selections=tries.MAX_CANDIDATES,
        key=f"tryout-candidates:{task.id}:{len(names)}",
        help=f"Up to {tries.MAX_CANDIDATES}; each answers the same queries once.",
    )
    if not chosen:
        st.caption("Choose at least one candidate.")
        return
    try:
        if task.origin == "recorded":
            _recorded(task, sorted(chosen))
        else:
            _live(tries.cut(task, sorted(chosen)))
    except IapoError as error:
        session.explain(error, "This task cannot be tested as it is.")


def _recorded(task: Task, chosen: Sequence[int]) -> None:
    environment = tasks.environment(task.id)
    if not isinstance(environment, RecordedEnvironment):
        st.caption("This task carries counts, not texts, so there is nothing to look at.")
        return
    st.caption("These completions are stored; looking at them costs nothing.")
    show(environment.task, tries.tried(environment, chosen))


def _live(task: Task) -> None:
    """Draw the test of a cut task that buys its completions."""
    max_usd = st.number_input(
        "Dollar cap of the test", value=None, placeholder="none", format="%g", key="tryout-usd",
        help="Spending never passes it.",
    )  # fmt: skip
    try:
        live = tries.settings(max_usd)
    except IapoError as error:
        session.explain(error, "This cap cannot be used; clear the field for none.")
        return
    _cost(tries.plan(session.store(), task, live))
    keys.ask(task, live)
    held, lacking = keys.held(task, live), keys.missing(task, live)
    run = _run(tries.run_id_of(task, live))
    if run is not None and run.state == "finished":
        st.caption("Tested: these completions are stored, and a run that asks for them finds them paid for.")
        show(task, tries.results(session.store(), run))
        return
    is_wanted = st.button(
        "Test it" if run is None else "Test it again",
        icon=":material/science:",
        key="tryout-start",
        disabled=bool(lacking) or (run is not None and run.is_active),
        help=f"Still missing: {', '.join(map(words.escape, lacking))}." if lacking else "Buys exactly what is said above.",
    )
    if is_wanted:
        tries.begin(session.store(), task, live, held)
        st.rerun()
    if run is None:
        return
    if run.is_active:
        st.fragment(_watch, run_every=1.0)(run.id, run.config.budget)
    else:
        st.warning("The test did not end. What was paid for is kept and is not bought again.", icon=":material/info:")
        st.text(run.message)


def _cost(plan: Plan) -> None:
    """Say what will be bought at most, and by whose prices."""
    calls = f"{plan.n_completions} completions" if plan.n_completions != 1 else "1 completion"
    if plan.n_verdicts:
        calls += f" and {plan.n_verdicts} verdicts of a judge"
    if plan.unpriced:
        models = ", ".join(map(words.escape, plan.unpriced))
        price = f"The price of {models} is not known, so dollars are not counted; give it with the decoding config."
    else:
        price = f"That is about {plan.expected_usd:.4f} dollars, at most {plan.worst_usd:.4f}, by {words.escape('; '.join(plan.sources))}."
    st.caption(f"Buys at most {calls}, less what is stored already. {price}")


def _run(run_id: str) -> RunRow | None:
    try:
        return session.store().run(run_id)
    except IapoError:
        return None


def _watch(run_id: str, n_completions: int) -> None:
    """Say how far the test is; starts the page over once it rests."""
    run = session.store().run(run_id)
    if not run.is_active:
        st.rerun()
    session.store().rest_keyless()  # where its worker has died
    now = spending(session.store(), run_id)
    n_bought = 0 if now is None else now.bought + now.reused
    st.progress(
        min(n_bought / max(n_completions, 1), 1.0), f"{n_bought} of {n_completions} completions are here or on their way."
    )
    if now is not None and now.waiting:
        st.caption(f":material/hourglass_top: {words.escape(now.waiting)}")


def show(task: Task, rows: Sequence[Tried]) -> None:
    """Show the completions with everything that is known of each."""
    by_candidate: dict[str, list[Tried]] = {}
    for row in rows:
        by_candidate.setdefault(row.candidate, []).append(row)
    with st.container(horizontal=True):
        for name, own in by_candidate.items():
            dollars, unit = tries.usd_per_thousand(own), words.escape(task.cost.unit)
            is_known = dollars == dollars
            cost = 1000 * sum(row.completion.cost for row in own) / len(own)
            st.metric(
                f"1,000 queries, {words.escape(name)}",
                f"{words.cost(dollars)} $" if is_known else words.cost(cost),
                border=True,
                help="At N = 1, by the mean of these completions; N completions per query cost N times that. "
                + ("" if is_known else f"No price in dollars is known, so it is counted in {unit}."),
            )
    st.dataframe(_table(task, rows), hide_index=True, key="tryout-table")
    scorer = make_scorer(task.objectives[0])
    for query in dict.fromkeys(row.query.id for row in rows):
        own = [row for row in rows if row.query.id == query]
        with st.expander(f"Query {words.escape(query)}", expanded=query == rows[0].query.id):
            _question(own[0].query, gold_vote(scorer, own[0].query.gold) if _votes(task, own[0].query) else None)
            for column, row in zip(st.columns(len(own)), own, strict=True):
                with column:
                    _completion(row)


def _votes(task: Task, query: Query) -> bool:
    return task.strategy != "best_of_n" and isinstance(query.gold, str)


def _table(task: Task, rows: Sequence[Tried]) -> pd.DataFrame:
    titles = words.objective_titles(tuple(o.id for o in task.objectives), task).values()
    votes = task.strategy != "best_of_n"
    return pd.DataFrame(
        [
            {
                "Candidate": row.candidate,
                "Query": row.query.id,
                **({"Vote": one.answer or "(none)"} if votes else {}),
                **dict(zip(titles, one.scores, strict=True)),
                "Tokens": one.prompt_tokens + one.completion_tokens,
                "Dollars": None if one.usd != one.usd else round(one.usd, 6),
                "Seconds": None if one.latency_s != one.latency_s else round(one.latency_s, 2),
                "Error": one.error or "",
            }
            for row in rows
            for one in [row.completion]
        ]
    )


def _question(query: Query, vote: str | None) -> None:
    for name, value in query.fields.items():
        st.caption(words.escape(name))
        st.text(value)
    if query.gold:
        st.caption("Right answer" if vote in (None, query.gold) else "Right answer, and how it votes")
        st.text(query.gold if isinstance(query.gold, str) else ", ".join(query.gold))
        if vote not in (None, query.gold):
            st.text(vote)


def _completion(row: Tried) -> None:
    st.caption(words.escape(row.candidate))
    if row.completion.error:
        st.text(f"Failed: {row.completion.error}. It scores the minimum and votes for nothing.")
    if row.completion.text:
        st.code(row.completion.text, language=None, wrap_lines=True)
