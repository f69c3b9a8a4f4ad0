"""What a run drew, gathered by replaying it against stored completions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from iapo_core.arms import Contexts
from iapo_core.environment import Environment, Outcomes, Pulls
from iapo_core.estimates import Estimates
from iapo_core.optimize import start


@dataclass(frozen=True, eq=False)
class Observations:
    """Everything that a run drew, so that any weights can be scored without a new call; the environment is the run's own."""

    environment: Environment
    batches: tuple[tuple[Pulls, Outcomes], ...]

    def estimates(self, contexts: Contexts, n_max: int | None = None) -> Estimates:
        """Score the drawn completions for these contexts."""
        scale = n_max or self.environment.n_max
        estimates = Estimates(
            len(self.environment.candidates),
            scale,
            contexts,
            self.environment.strategy,
            ranges=self.environment.objective_ranges,
        )
        for pulls, outcomes in self.batches:
            estimates.add(pulls, outcomes)
        return estimates


class _Witness:
    """An environment that keeps what passes through it."""

    def __init__(self, environment: Environment) -> None:
        self.inner = environment
        self.seen: list[tuple[Pulls, Outcomes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def for_run(self, seed: int) -> _Witness:
        self.inner = self.inner.for_run(seed)
        return self

    def pull(self, pulls: Pulls) -> Outcomes:
        outcomes = self.inner.pull(pulls)
        self.seen.append((pulls, outcomes))
        return outcomes


def observe(environment: Environment, *, n_events: int | None = None, **arguments: Any) -> Observations:
    """Replay a run, or its first `n_events` events, and return what it drew.

    A run is a pure function of its arguments, so a replay against stored completions buys nothing.

    Args:
        environment: The run's environment.
        n_events: Where a run was stopped.
        **arguments: What `start` takes.

    Raises:
        IapoError: As `start` does.
    """
    witness = _Witness(environment)
    for _ in islice(start(witness, **arguments), n_events):
        pass
    return Observations(witness.inner, tuple(witness.seen))
