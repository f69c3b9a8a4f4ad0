"""The held-out check of a live run: a share of its budget is set aside to judge the picks on queries that no round saw."""

from __future__ import annotations

import numpy as np

from iapo_core.environment import Environment, Pulls
from iapo_core.intervals import of_means
from iapo_core.policy import Estimate, Policy
from iapo_core.utility import rewards

FEWEST_QUERIES = 2  # an interval needs two


def check(environment: Environment, policy: Policy, budget: int) -> tuple[Policy, int]:
    """Estimate every pick on held-out queries with up to `budget` completions; returns the policy and what was drawn.

    Contexts that picked the same candidate share completions. Where the budget does not reach two queries for each candidate,
    nothing is drawn and the policy stays as it is.

    Raises:
        LiveError: If the completions cannot be bought.
    """
    scales = {environment.candidates.index(name): n for name, n in _scales(policy).items()}
    n_queries = min(len(environment.split.heldout), budget // sum(scales.values()))
    if n_queries < FEWEST_QUERIES:
        return policy, 0
    queries = environment.split.heldout[:n_queries]
    estimates: dict[str, Estimate] = {}
    for p, n in scales.items():
        outcomes = environment.pull(Pulls(np.full(n_queries, p), queries, np.full(n_queries, n)))
        cost = float(outcomes.costs.sum()) / (n * n_queries)
        for choice in policy.choices:
            if environment.candidates[p] == choice.candidate:
                weights = np.array([[choice.weights.get(o, 0.0) for o in environment.objectives]])
                reward = rewards(environment.strategy, weights, outcomes.objectives, outcomes.answers, outcomes.gold)
                values = reward[:, 0, choice.n - 1] - choice.cost_weight * cost * choice.n  # (X',)
                lowest, highest = (weights @ environment.objective_ranges)[0] - choice.cost_weight * cost * choice.n
                ends = of_means(values, float(lowest), float(highest))
                estimates[choice.context] = Estimate(
                    value=float(values.mean()),
                    low=float(ends.low),
                    high=float(ends.high),
                    n_queries=n_queries,
                    source="heldout",
                )
    choices = tuple(choice.model_copy(update={"estimate": estimates[choice.context]}) for choice in policy.choices)
    return policy.model_copy(update={"choices": choices}), n_queries * sum(scales.values())


def why_unchecked(policy: Policy, left: int, share: float, n_heldout: int) -> str | None:
    """Say why no pick of a live run was checked and what to do, None where picks were.

    Args:
        policy: The run's policy.
        left: Completions that its rounds left of the budget.
        share: Of the budget, what is set aside for the check.
        n_heldout: Queries kept aside.
    """
    if any(choice.estimate is not None for choice in policy.choices):
        return None
    needed = FEWEST_QUERIES * sum(_scales(policy).values())
    if n_heldout < FEWEST_QUERIES:
        return f"Held-out check: it takes {FEWEST_QUERIES} queries kept aside, and the task has {n_heldout}; add queries."
    if left >= needed:
        return None
    remedy = f"raise the budget to {budget_for(needed, share):,} or set a larger share aside" if share else "set a share aside"
    return (
        f"Held-out check: {left:,} completions were left for it, the picks needed {needed:,}, so nothing was checked; {remedy}."
    )


def budget_for(needed: int, share: float) -> int:
    """Return the smallest budget of which `share` reaches `needed` completions."""
    budget = max(int(needed / share) - 1, 0)  # a step below, because of rounding
    while int(share * budget) < needed:
        budget += 1
    return budget


def _scales(policy: Policy) -> dict[str, int]:
    """Return the largest N that was picked of each candidate."""
    scales: dict[str, int] = {}
    for choice in policy.choices:
        scales[choice.candidate] = max(scales.get(choice.candidate, 0), choice.n)
    return scales
