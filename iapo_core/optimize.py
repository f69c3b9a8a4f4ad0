"""One call from an environment to a policy, and the registry of algorithms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from iapo_core.arms import Contexts, Grid
from iapo_core.environment import Environment, default_grid
from iapo_core.errors import AlgorithmError, BudgetError
from iapo_core.events import Event, Finished
from iapo_core.policy import Policy
from iapo_core.psst import psst, psst_topk


class Algorithm(Protocol):
    """A generator of events that draws from the environment and from `rng` alone."""

    def __call__(
        self, grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator, **options: Any
    ) -> Iterator[Event]:
        """Yield events; the last one is `Finished`."""
        ...


ALGORITHMS: dict[str, Algorithm] = {"psst": psst, "psst-topk": psst_topk}


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
        chosen = ALGORITHMS[algorithm]
    except KeyError:
        raise AlgorithmError(f"There is no algorithm {algorithm!r}; choose one of {', '.join(ALGORITHMS)}.") from None
    grid = default_grid(environment, n_max=n_max, contexts=contexts)
    return chosen(grid, environment.for_run(seed), budget=int(budget), rng=np.random.default_rng(seed), **options)


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
