"""The spend plan: what a run will buy and what that can cost, before anything is bought."""

from __future__ import annotations

import streamlit as st

from iapo_core.environment import Environment
from iapo_core.environments.live import LiveSettings
from iapo_core.runs.config import RunConfig
from iapo_core.runs.heldout import FEWEST_QUERIES, budget_for
from iapo_core.runs.plan import ASSUMED_SHARE, Dollars, SpendPlan, dollars_of
from iapo_core.task import Task
from pages.shell import session, tasks, words


def dollars(task: Task, live: LiveSettings) -> Dollars:
    """Return what completions cost; looked up again every half minute, because answers tell more than guesses."""
    return _dollars(session.address(), task.fingerprint, live.model_dump_json(), task, live)


@st.cache_data(max_entries=16, ttl=30, show_spinner=False)
def _dollars(address: str, fingerprint: str, settings: str, _task: Task, _live: LiveSettings) -> Dollars:
    return dollars_of(session.store(), _task, _live)


def draw(plan: SpendPlan, environment: Environment) -> None:
    """Draw the plan of a run, recorded or live."""
    first = plan.first
    with st.container(border=True, key="plan"):
        st.markdown("**Spend plan**")
        with st.container(horizontal=True):
            st.metric("Rounds", first.n_rounds, help="Each round halves the arms of every context.")
            st.metric("First round", f"{first.n_completions:,}", help="Exactly what the first round draws, in completions.")
            later = f"about {(plan.n_later - plan.n_aside) // max(first.n_rounds - 1, 1):,}"
            st.metric("A later round", later, help="What a round cannot spend moves on to the next.")
            if plan.dollars is not None:
                st.metric(
                    "Held-out check", f"{plan.n_aside:,}", help="Set aside to judge the picks on queries that no round saw."
                )
            st.metric("Never more than", f"{plan.n_most:,}", help=_cap(plan))
            if plan.mean_costs is not None:
                unit = words.unit(tasks.described(environment))
                st.metric(
                    "Expected cost", words.cost(plan.expected_cost), help=f"Of all completions, counted in {words.escape(unit)}."
                )
        _in_words(plan)
        if plan.dollars is not None:
            _in_dollars(plan, plan.dollars)
        _by_candidate(plan, environment)


def warn_of_check(config: RunConfig, environment: Environment) -> None:
    """Say before the start where the share set aside may not reach a held-out check of the picks, and which budget would do."""
    if config.live is None or not config.live.heldout_share:
        return
    one = FEWEST_QUERIES * config.n_max
    worst = one * min(len(config.contexts), len(environment.candidates))
    if config.heldout_budget >= worst:
        return
    of = "one pick" if config.heldout_budget < one else "a different pick in each context"
    st.caption(
        f":material/info: The held-out check may not take place: {config.heldout_budget:,} completions are set aside, and {of} at "
        f"N = {config.n_max} needs {one if config.heldout_budget < one else worst:,}. A budget of "
        f"{budget_for(worst, config.live.heldout_share):,} does in any case."
    )


def _cap(plan: SpendPlan) -> str:
    if not plan.allowance:
        return "The hard cap in completions."
    return f"T + R: {plan.budget:,} completions, and up to {plan.allowance:,} more for calls in flight when a process dies."


def _in_words(plan: SpendPlan) -> None:
    first = plan.first
    n_pulled = int((first.repeats > 0).sum())
    note = f" Note: {first.note}." if first.note else ""
    st.caption(
        f"Round 1 samples {n_pulled} of {len(first.repeats)} prompts on up to "
        f"{int(first.repeats.max())} {'query' if first.repeats.max() == 1 else 'queries'} each, {int(first.sizes.max())} completions "
        f"of a query.{note}"
    )
    if plan.allowance:
        st.caption(
            f"At most T + R = {plan.budget:,} + {plan.allowance:,} completions can be billed: a call in flight when a process dies "
            "counts as bought, and may be bought again within R. What other runs of this task have paid for is reused."
        )


def _in_dollars(plan: SpendPlan, of: Dollars) -> None:
    """Say what it costs, by whose prices, and how sure that is."""
    if of.unknown:
        st.warning(
            f"The price of {words.escape(words.listed(list(of.unknown)))} is not known, so dollars are not counted. "
            + ("Give both prices to count them." if plan.can_keep_caps else "Give both prices, or take the dollar cap away."),
            icon=":material/info:",
        )
        return
    with st.container(horizontal=True):
        basis = "average answers so far" if of.is_measured.all() else f"{ASSUMED_SHARE:.0%} of the longest answers, assumed"
        if of.is_measured.any() and not of.is_measured.all():
            basis = f"average answers so far, else {basis}"
        st.metric("Expected", words.usd(plan.expected_usd), help=f"From {basis}. A guess, not a promise.")
        st.metric(
            "Worst case", words.usd(plan.worst_usd), help="Every prompt token a byte, every answer at its limit, R used up."
        )
        cap = "none" if plan.max_usd is None else words.usd(plan.max_usd)
        st.metric("Dollar cap", cap, help="Spending never passes it, calls in flight included.")
    if of.n_judges:
        st.caption(
            f"Judges are asked {of.n_judges} time{'s' if of.n_judges > 1 else ''} for each completion; these dollars hold their "
            "calls, with completions reckoned at four bytes a token."
        )
    st.caption(f"Expected from {basis}. Prices: {words.escape('; '.join(of.sources))}.")


def _by_candidate(plan: SpendPlan, environment: Environment) -> None:
    """List what each candidate gets."""
    box = st.expander("By candidate", key="plan-candidates", icon=":material/table_rows:", type="compact", on_change="rerun")
    if not box.open:
        return
    task, of = tasks.described(environment), plan.dollars
    titled = {p.id: p.title or p.id for p in task.prompts} if task is not None and len(task.decoding) == 1 else {}
    rows = [
        {
            "Candidate": titled.get(name, name),
            "Queries": int(plan.first.repeats[p]),
            "N each": int(plan.first.sizes[p]),
            "Round 1": int(plan.n_first[p]),
            "At most": int(plan.most[p]),
            **({"Expected $": float(of.expected[p]), "Worst $": float(of.worst[p])} if of and not of.unknown else {}),
        }
        for p, name in enumerate(environment.candidates)
    ]
    helps = {
        "Queries": "In round 1.",
        "N each": "Completions of each of these queries.",
        "Round 1": "Exactly what it draws in round 1.",
        "At most": "If all that is left went to it, R included.",
    }
    columns = {name: st.column_config.NumberColumn(width=78, help=text) for name, text in helps.items()}
    for name in ("Expected $", "Worst $"):
        columns[name] = st.column_config.NumberColumn(width=96, format="%.6f", help="Of one completion.")
    with box:
        st.caption("Round 1 is exact. What a candidate gets later depends on what it shows: at most everything that is left.")
        st.dataframe(rows, hide_index=True, key="plan-table", column_config=columns)
