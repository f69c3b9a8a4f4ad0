"""A test before any run: every candidate once on every training query, at N = 1. Bought as a run buys, and nothing is trimmed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from iapo_core.arms import Grid
from iapo_core.environment import Environment, Pulls
from iapo_core.events import Event, Finished, Planned, Pulled
from iapo_core.policy import Policy
from iapo_core.utility import rewards


def tryout(grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator) -> Iterator[Event]:
    """Pull each candidate on each training query once, query by query, as far as the budget reaches.

    Args:
        grid: The arms and contexts.
        environment: Of a task that was cut down to what is to be tried.
        budget: Completions that may be spent, a hard cap.
        rng: Not used: nothing is random here.

    Yields:
        Planned, Pulled, Finished; its policy is the best mean of what was tried, too few queries to choose by.
    """
    n_candidates, train = len(grid.candidates), environment.split.train
    candidates = np.tile(np.arange(n_candidates), len(train))[:budget]
    queries = np.repeat(train, n_candidates)[:budget]
    repeats = np.bincount(candidates, minlength=n_candidates)
    yield Planned(
        round=1,
        n_rounds=1,
        purpose="spend",
        sizes=(repeats > 0).astype(int),
        repeats=repeats,
        n_completions=len(candidates),
        note="a test on a few queries",
    )
    outcomes = environment.pull(Pulls(candidates, queries, np.ones(len(candidates), dtype=int)))
    is_tried = repeats > 0
    counts = np.where(is_tried, repeats, 1)
    costs = np.where(is_tried, np.bincount(candidates, outcomes.costs[:, 0], n_candidates) / counts, np.nan)
    yield Pulled(
        round=1,
        n_completions=len(candidates),
        spent=len(candidates),
        n_reused=outcomes.n_reused,
        n_failed=outcomes.n_failed,
        mean_costs=costs,
    )
    contexts = grid.contexts
    reward = rewards(environment.strategy, contexts.distinct, outcomes.objectives, outcomes.answers, outcomes.gold)[..., 0]
    means = np.array([np.bincount(candidates, column, n_candidates) / counts for column in reward.T])  # (W, P)
    q = np.where(is_tried, means[contexts.which] - contexts.cost_weights[:, None] * costs, -np.inf)  # (C, P)
    policy = Policy.from_picks(
        grid,
        q.argmax(axis=1),
        np.ones(len(contexts), dtype=int),
        task=environment.name,
        strategy=environment.strategy,
        objectives=environment.objectives,
        is_simulated=environment.is_simulated,
    )
    yield Finished(spent=len(candidates), policy=policy)
