"""One call from an environment to a policy, and the registry of algorithms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from iapo_core.arms import Contexts, Grid
from iapo_core.baselines import epsilon_greedy, random_arm, softmax, triple, triple_random, ucb, uniform
from iapo_core.environment import Environment, default_grid
from iapo_core.errors import AlgorithmError, BudgetError, PolicyError
from iapo_core.events import Estimated, Event, Finished, Trimmed
from iapo_core.policy import Policy
from iapo_core.psst import psst, psst_topk
from iapo_core.psst_eb import psst_eb
from iapo_core.tryout import tryout

# Called as algorithm(grid, environment, budget=, rng=, **options); yields events, the last one is `Finished`.
ALGORITHMS: dict[str, Callable[..., Iterator[Event]]] = {
    "psst": psst,
    "psst-topk": psst_topk,
    "psst-eb": psst_eb,
    "uniform": uniform,
    "eps-greedy": epsilon_greedy,
    "softmax": softmax,
    "ucb": ucb,
    "triple": triple,
    "triple-random": triple_random,
    "random": random_arm,
}
INTERNAL: dict[str, Callable[..., Iterator[Event]]] = {"tryout": tryout}  # no choice of people or benches
FEWEST_PULLS = 10
_GIVEN = {"grid", "environment", "budget", "rng"}


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its policy, what it spent and everything that happened."""

    policy: Policy
    spent: int
    events: tuple[Event, ...]


def start(
    environment: Environment,
    *,
    budget: int,
    algorithm: str = "psst",
    seed: int = 0,
    n_max: int | None = None,
    contexts: Contexts | None = None,
    **options: Any,
) -> Iterator[Event]:
    """Check the arguments, then return the run as a generator of events; a pure function of what it is given.

    Raises:
        BudgetError: If the budget is not a whole number of at least 1.
        AlgorithmError: If the algorithm is unknown.
        TaskError: If n_max does not fit the environment.
    """
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < 1:
        raise BudgetError(f"The budget is a whole number of completions, at least 1, not {budget!r}.")
    try:
        chosen = (ALGORITHMS | INTERNAL)[algorithm]
    except KeyError:
        raise AlgorithmError(f"There is no algorithm {algorithm!r}; choose one of {', '.join(ALGORITHMS)}.") from None
    known = set(signature(chosen).parameters) - _GIVEN
    if unknown := sorted(set(options) - known):
        raise AlgorithmError(f"{algorithm!r} has no option {unknown[0]!r}; it takes {', '.join(sorted(known))}.")
    grid = default_grid(environment, n_max=n_max, contexts=contexts)
    return chosen(grid, environment.for_run(seed), budget=int(budget), rng=np.random.default_rng(seed), **options)


def recommend(n_candidates: int, n_max: int, budget: int) -> str:
    """Return the name of the algorithm to take for a budget: `psst` where its rounds see enough queries, else `psst-eb`.

    A first round of PSST has floor(T / R) completions for pulls of n_max completions each (Section 3 of the paper); with fewer
    than FEWEST_PULLS queries per candidate it halves the arms almost blindly.
    """
    n_rounds = max(int(np.ceil(np.log2(max(n_candidates * n_max, 2)))), 1)
    pulls = budget // n_rounds // (n_candidates * n_max)
    return "psst" if pulls >= FEWEST_PULLS else "psst-eb"


def optimize(environment: Environment, **arguments: Any) -> Run:
    """Run to the end; takes what `start` takes.

    Raises:
        IapoError: As `start` does.
    """
    events = tuple(start(environment, **arguments))
    last = events[-1]
    if not isinstance(last, Finished):
        raise AlgorithmError("The algorithm ended without a policy; its last event must be Finished.")
    return Run(policy=last.policy, spent=last.spent, events=events)


def policy_so_far(grid: Grid, environment: Environment, events: Iterable[Event]) -> Policy:
    """Return the best arm per context that a stopped run knows of: among the survivors, by its last estimates.

    Raises:
        PolicyError: If nothing was estimated yet.
    """
    estimated: Estimated | None = None
    alive = np.ones(grid.shape, dtype=bool)
    for event in events:
        if isinstance(event, Estimated):
            estimated = event
        elif isinstance(event, Trimmed):
            alive = event.alive
    if estimated is None or np.isnan(estimated.reward).all():
        raise PolicyError("The run was stopped before it had estimated anything, so it has no policy; resume it.")
    cost = estimated.mean_costs[:, None] * np.arange(1, grid.n_max + 1)  # (P, N)
    q = estimated.reward[grid.contexts.which] - grid.contexts.cost_weights[:, None, None] * cost  # (C, P, N)
    q = np.where(alive & ~np.isnan(q), q, np.where(np.isnan(q), -np.inf, q - 1e9)).reshape(len(q), -1)
    best = q.argmax(axis=1)
    return Policy.from_picks(
        grid,
        best // grid.n_max,
        best % grid.n_max + 1,
        task=environment.name,
        strategy=environment.strategy,
        objectives=environment.objectives,
        is_simulated=environment.is_simulated,
    )
