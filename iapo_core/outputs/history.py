"""A run round by round, gathered from its events, as the live figures draw it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from iapo_core.arms import BoolArray, FloatArray, Grid, IntArray, Survivors
from iapo_core.events import Estimated, Event, Finished, Planned, Pulled, Trimmed
from iapo_core.outputs.palette import MOST_HIGHLIGHTED


@dataclass(frozen=True, eq=False)
class Round:
    """One completed round."""

    number: int
    purpose: str
    note: str
    n_completions: int
    spent: int
    estimated: Estimated
    survivors: Survivors
    cut: FloatArray  # (C,)


@dataclass(frozen=True, eq=False)
class History:
    """What has happened so far.

    Attributes:
        grid: The run's arms and contexts.
        rounds: The completed rounds in order.
        n_rounds: How many there will be, 0 before the first is planned.
        left_round: Round in which each arm left, 0 while it is alive, shape (C, P, N).
        n_reused: Completions that had been served before.
        n_failed: Completions that carry an error.
        spent: Completions drawn so far.
        planned: Completions that the round under way will draw, 0 if none is.
        picks: Candidate row and N per context at the end, shape (C, 2); None before.
    """

    grid: Grid
    rounds: tuple[Round, ...]
    n_rounds: int
    left_round: IntArray
    n_reused: int
    n_failed: int
    spent: int
    planned: int
    picks: IntArray | None

    @classmethod
    def from_events(cls, grid: Grid, events: Iterable[Event]) -> History:
        """Gather a run's events; a round counts once its arms were trimmed."""
        rounds: list[Round] = []
        left = np.zeros(grid.shape, dtype=np.int16)
        alive = np.ones(grid.shape, dtype=bool)
        plan: Planned | None = None
        drawn: Pulled | None = None
        estimated: Estimated | None = None
        picks = None
        n_rounds = n_reused = n_failed = spent = 0
        for event in events:
            if isinstance(event, Planned):
                plan, n_rounds = event, event.n_rounds
            elif isinstance(event, Pulled):
                drawn, spent = event, event.spent
                n_reused, n_failed = n_reused + event.n_reused, n_failed + event.n_failed
            elif isinstance(event, Estimated):
                estimated = event
            elif isinstance(event, Trimmed) and plan and drawn and estimated:
                still = event.alive
                left[alive & ~still] = event.round
                alive, spending = still, (drawn.n_completions, drawn.spent)
                rounds.append(Round(event.round, plan.purpose, plan.note, *spending, estimated, event.survivors, event.cut))
                plan = None
            elif isinstance(event, Finished):
                rows = {name: row for row, name in enumerate(grid.candidates)}
                picks = np.array([(rows[choice.candidate], choice.n) for choice in event.policy.choices])
        planned = plan.n_completions if plan is not None else 0
        return cls(grid, tuple(rounds), n_rounds, left, n_reused, n_failed, spent, planned, picks)

    @property
    def alive(self) -> BoolArray:
        """Arms that still compete, shape (C, P, N)."""
        return np.asarray(self.left_round == 0)

    @property
    def n_alive(self) -> int:
        """Arms that still compete, per context on average."""
        return round(float(self.alive.sum(axis=(1, 2)).mean()))

    @property
    def round(self) -> int:
        """Rounds completed."""
        return self.rounds[-1].number if self.rounds else 0

    def q(self, context: int, index: int = -1) -> FloatArray:
        """Return the estimates of one context after a completed round, nan where unsampled, shape (P, N)."""
        if not self.rounds:
            return np.full(self.grid.shape[1:], np.nan)
        contexts, estimated = self.grid.contexts, self.rounds[index].estimated
        cost = estimated.mean_costs[:, None] * np.arange(1, self.grid.n_max + 1)
        q: FloatArray = estimated.reward[contexts.which[context]] - contexts.cost_weights[context] * cost
        return q

    def half_width(self, context: int, index: int = -1) -> FloatArray:
        """Return half of the 95 % interval of the reward behind each estimate, shape (P, N)."""
        if not self.rounds:
            return np.full(self.grid.shape[1:], np.nan)
        half: FloatArray = self.rounds[index].estimated.half_width[self.grid.contexts.which[context]]
        return half

    def leader(self, context: int) -> tuple[int, int] | None:
        """Return candidate row and N of the best surviving arm, None before anything was estimated."""
        if self.picks is not None:
            return int(self.picks[context, 0]), int(self.picks[context, 1])
        q = np.where(self.alive[context], self.q(context), np.nan)
        if np.isnan(q).all():
            return None
        p, k = divmod(int(np.nanargmax(q)), self.grid.n_max)
        return p, k + 1

    def ranking(self) -> tuple[int, ...]:
        """Return the candidates worth a hue: who leads a context first, then who stayed longest, at most eight."""
        leads = [lead[0] for c in range(len(self.grid.contexts)) if (lead := self.leader(c)) is not None]
        stayed = np.where(self.left_round == 0, self.n_rounds + 1, self.left_round).max(axis=(0, 2))  # (P,)
        best = np.full(len(stayed), -np.inf)
        for c in range(len(self.grid.contexts)):
            q = self.q(c)
            best = np.fmax(best, np.where(np.isnan(q), -np.inf, q).max(axis=1))
        order = [*dict.fromkeys(leads), *np.lexsort((-best, -stayed)).tolist()]
        return tuple(dict.fromkeys(order))[:MOST_HIGHLIGHTED]
