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
    scales: dict[int, int] = {}
    for choice in policy.choices:
        p = environment.candidates.index(choice.candidate)
        scales[p] = max(scales.get(p, 0), choice.n)
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
