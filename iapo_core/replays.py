"""What a smaller budget would have picked, and how sure a pick is of itself: replays of a run against stored completions.

A run is a pure function of its arguments, so replaying one with less money, or with other seeds on the same queries, buys nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iapo_core.arms import Arm, Contexts, FloatArray, IntArray
from iapo_core.environment import Environment
from iapo_core.estimates import Interval, t_quantile
from iapo_core.events import Finished
from iapo_core.optimize import start

SHARES = (0.25, 0.5, 0.75, 1.0)
N_REPLAYS = 12


@dataclass(frozen=True, eq=False)
class Replays:
    """Picks of a run replayed with B budgets and S seeds; seed 0 is the run's own.

    Attributes:
        budgets: Completions allowed, rising, shape (B,).
        spent: Completions drawn, shape (B, S).
        rows: Candidate picked, shape (B, S, C).
        scales: N picked, shape (B, S, C).
        utilities: Q of the pick on the held-out queries, shape (B, S, C).
    """

    budgets: IntArray
    spent: IntArray
    rows: IntArray
    scales: IntArray
    utilities: FloatArray

    @property
    def n_same(self) -> IntArray:
        """In how many replays each context picks the prompt that the run itself picked with all of its money, shape (B, C)."""
        return np.asarray((self.rows == self.rows[-1, 0]).sum(axis=1))

    def prompts(self, context: int) -> IntArray:
        """Return the candidates that some replay picked for a context, the most frequent with full budget first."""
        names, counts = np.unique(self.rows[:, :, context], return_counts=True)
        full = [(self.rows[-1, :, context] == name).sum() for name in names]
        return np.asarray(names[np.lexsort((names, -counts, -np.array(full)))])


def replays(
    environment: Environment, *, shares: Sequence[float] = SHARES, n_replays: int = N_REPLAYS, **arguments: Any
) -> Replays:
    """Replay a run with shares of its budget and with other seeds; its training and held-out queries stay as they are.

    Args:
        environment: The run's, with its split.
        shares: Of its budget, rising, the last one 1.
        n_replays: Seeds, the run's own included.
        **arguments: What `start` takes beside the environment: the run's own.

    Raises:
        IapoError: As `start` does.
    """
    budget, seed = int(arguments["budget"]), int(arguments.get("seed", 0))
    contexts: Contexts = arguments.get("contexts") or environment.contexts
    budgets = np.array([max(round(share * budget), 1) for share in shares])
    seeds = [seed, *(int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in range(1, n_replays))]
    n_max = arguments.get("n_max") or environment.n_max
    reward = environment.reward_curves(environment.split.heldout, contexts.distinct).mean(axis=2)[..., :n_max]  # (W, P, N)
    cost = environment.mean_costs()[:, None] * np.arange(1, n_max + 1)
    q = reward[contexts.which] - contexts.cost_weights[:, None, None] * cost  # (C, P, N)
    row_of = {name: p for p, name in enumerate(environment.candidates)}
    shape = (len(budgets), len(seeds), len(contexts))
    rows, scales = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    spent = np.zeros(shape[:2], dtype=int)
    for b, s in np.ndindex(*shape[:2]):
        *_, last = start(environment, **{**arguments, "budget": int(budgets[b]), "seed": seeds[s]})
        if isinstance(last, Finished):
            spent[b, s] = last.spent
            rows[b, s] = [row_of[choice.candidate] for choice in last.policy.choices]
            scales[b, s] = [choice.n for choice in last.policy.choices]
    return Replays(budgets, spent, rows, scales, q[np.arange(len(contexts)), rows, scales - 1])


def acr_interval(environment: Environment, contexts: Contexts, picks: Sequence[Arm]) -> Interval:
    """Return the ACR of picks on the held-out queries with its 95 % interval over queries, nan below two of them.

    Args:
        environment: With the run's split.
        contexts: The run's.
        picks: One arm per context.
    """
    heldout = environment.split.heldout
    curves = environment.reward_curves(heldout, contexts.distinct)  # (W, P, X', N)
    rows = [environment.candidates.index(arm.candidate) for arm in picks]
    n = np.array([arm.n for arm in picks])
    cost = contexts.cost_weights * n * environment.mean_costs()[rows]  # (C,)
    cells = (curves[contexts.which, rows, :, n - 1] - cost[:, None]).mean(axis=0)  # (X',)
    value, half = float(cells.mean()), float("nan")
    if len(cells) > 1:
        half = float(t_quantile(np.array([len(cells) - 1.0]))[0] * cells.std(ddof=1) / np.sqrt(len(cells)))
    return Interval(value, value - half, value + half, len(cells))
