"""What a terminal shows: rounds, policies and lists as aligned lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from iapo_core.arms import FloatArray, Grid
from iapo_core.environment import Environment
from iapo_core.environments import RecordedEnvironment, TableEnvironment
from iapo_core.evaluate import judge, score_queries
from iapo_core.events import Estimated, Event, Planned, Pulled, Trimmed
from iapo_core.policy import Policy

Known = TableEnvironment | RecordedEnvironment
_COLUMNS = f"{'round':>7} {'purpose':<8} {'prompts':>7} {'pulls':>7} {'completions':>11} {'spent':>8} {'arms left':>10}  leader"


class RoundTable:
    """Gathers a round's events and turns them into a line when the round has ended."""

    def __init__(self, environment: Environment, grid: Grid) -> None:
        self._environment, self._grid = environment, grid
        self._plan: Planned | None = None
        self._drawn: Pulled | None = None
        self._estimated: Estimated | None = None

    def head(self, algorithm: str, budget: int, seed: int) -> Iterator[str]:
        """Return the lines before the first round."""
        environment, grid = self._environment, self._grid
        mark = "SIMULATED task" if environment.is_simulated else "Task"
        counts = f"{len(grid.candidates)} prompts, {grid.n_arms:,} arms, {_count(len(grid.contexts), 'context')}"
        yield f"{mark} {environment.name}: {counts}."
        yield f"{algorithm} with a budget of {budget:,} completions, seed {seed}."
        yield ""
        yield _COLUMNS

    def lines(self, event: Event) -> Iterator[str]:
        """Return the lines that this event completes: one per round, and its note."""
        if isinstance(event, Planned):
            self._plan = event
        elif isinstance(event, Pulled):
            self._drawn = event
        elif isinstance(event, Estimated):
            self._estimated = event
        elif isinstance(event, Trimmed) and self._plan and self._drawn and self._estimated:
            plan, drawn = self._plan, self._drawn
            left = event.survivors.counts()  # (C,)
            shown = f"{left.min():,}" if left.min() == left.max() else f"{left.min():,}-{left.max():,}"
            yield (
                f"{plan.round:>3}/{plan.n_rounds:<3} {plan.purpose:<8} {int((plan.repeats > 0).sum()):>7} "
                f"{int(plan.repeats.sum()):>7,} {drawn.n_completions:>11,} {drawn.spent:>8,} {shown:>10}  "
                f"{self._leader(self._estimated, event)}"
            )
            if plan.note:
                yield f"        note: {plan.note}"

    def _leader(self, estimated: Estimated, trimmed: Trimmed) -> str:
        """Name the best surviving arm of the first context."""
        q = np.where(trimmed.alive[0], utilities(estimated, self._grid)[0], np.nan)
        if np.isnan(q).all():
            return "nothing sampled yet"
        p, k = divmod(int(np.nanargmax(q)), self._grid.n_max)
        return f"{self._grid.candidates[p]}, N = {k + 1} ({self._grid.contexts.ids[0]})"


def utilities(estimated: Estimated, grid: Grid) -> FloatArray:
    """Return the training estimate of every arm's utility, nan where unsampled, shape (C, P, N)."""
    cost = estimated.mean_costs[:, None] * np.arange(1, grid.n_max + 1)  # (P, N)
    q: FloatArray = estimated.reward[grid.contexts.which] - grid.contexts.cost_weights[:, None, None] * cost
    return q


def policy_lines(policy: Policy, environment: Known, grid: Grid, last: Estimated) -> Iterator[str]:
    """Return the policy with the run's own estimate beside the held-out one, which did not choose the winner."""
    scores = score_queries(environment, environment.split.heldout, grid.contexts, grid.n_max)
    train = utilities(last, grid)
    rows = [("context", "prompt", "N", "train", "held-out", "95 % interval", "cost/query", "lead")]
    for c, verdict in enumerate(judge(scores, [policy.arm(context) for context in grid.contexts.ids])):
        p, n = grid.candidates.index(verdict.pick.candidate), verdict.pick.n
        rows.append(
            (
                verdict.context,
                verdict.pick.candidate,
                str(n),
                f"{train[c, p, n - 1]:.3f}",
                f"{verdict.value:.3f}",
                f"{verdict.low:.3f} to {verdict.high:.3f}",
                f"{verdict.cost_per_query:.4f}",
                verdict.verdict,
            )
        )
    yield ""
    yield "Policy"
    yield from aligned(rows)


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Return rows with their columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")
