"""Estimates of Q from the pulls of a run, pooled over all rounds (stockpiling), with intervals clustered by query."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from iapo_core.arms import Contexts, FloatArray, IntArray
from iapo_core.environment import Outcomes, Pulls
from iapo_core.utility import Method, rewards


class Interval(NamedTuple):
    """A mean with its 95 % interval and the queries behind it."""

    value: float
    low: float
    high: float
    n_queries: int


class Estimates:
    """Rewards of every arm seen so far; the one mutable object of a run.

    Every pull of n serves every scale k <= n and every context. Each pull counts alike at the scales it reaches.

    Args:
        n_candidates: P.
        n_max: N.
        contexts: Their distinct objective weights are what is estimated; cost is subtracted afterwards.
        strategy: How completions are aggregated.
        method: How the subsets of a pull are used.
    """

    def __init__(self, n_candidates: int, n_max: int, contexts: Contexts, strategy: str, method: Method = "subsets") -> None:
        self.contexts = contexts
        self.n_max = n_max
        self._strategy = strategy
        self._method: Method = method
        shape = (n_candidates, len(contexts.distinct), n_max)
        self._sum = np.zeros(shape)  # (P, W, N)
        self.n_pulls: IntArray = np.zeros((n_candidates, n_max), dtype=int)
        self._cost_sum = np.zeros(n_candidates)
        self.n_completions: IntArray = np.zeros(n_candidates, dtype=int)
        self._cells: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []

    def add(self, pulls: Pulls, outcomes: Outcomes) -> None:
        """Take in a batch; pulls of a size are judged together."""
        for n in np.unique(pulls.sizes[pulls.sizes > 0]):
            rows = np.flatnonzero(pulls.sizes == n)
            rows = rows[np.argsort(pulls.candidates[rows], kind="stable")]
            reward = rewards(
                self._strategy,
                self.contexts.distinct,
                None if outcomes.objectives is None else outcomes.objectives[rows, :n],
                None if outcomes.answers is None else outcomes.answers[rows, :n],
                None if outcomes.gold is None else outcomes.gold[rows],
                self._method,
            )[..., : self.n_max]  # (M, W, n)
            candidates, cost = pulls.candidates[rows], outcomes.costs[rows, :n].mean(axis=1)
            starts = np.flatnonzero(np.r_[True, candidates[1:] != candidates[:-1]])
            which, n_pulls = candidates[starts], np.diff(np.r_[starts, len(rows)])
            self._sum[which, :, : reward.shape[2]] += np.add.reduceat(reward, starts, axis=0)
            self.n_pulls[which, : reward.shape[2]] += n_pulls[:, None]
            self.n_completions[which] += n * n_pulls
            self._cost_sum[which] += n * np.add.reduceat(cost, starts)
            self._cells.append((candidates, pulls.queries[rows], reward, cost))

    @property
    def reward(self) -> FloatArray:
        """Mean reward before cost, nan where unsampled, shape (W, P, N)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._sum / self.n_pulls[:, None]
        return mean.transpose(1, 0, 2)

    @property
    def mean_costs(self) -> FloatArray:
        """Mean cost of one completion, nan where unsampled, shape (P,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            cost: FloatArray = self._cost_sum / self.n_completions
        return cost

    def q(self) -> FloatArray:
        """Return Q(c, p, k) = reward - w_cost * k * cost, nan where unsampled, shape (C, P, N)."""
        cost = self.mean_costs[:, None] * np.arange(1, self.n_max + 1)  # (P, N)
        q: FloatArray = self.reward[self.contexts.which] - self.contexts.cost_weights[:, None, None] * cost
        return q

    def n_queries(self) -> IntArray:
        """Return the distinct queries behind each arm, shape (P, N)."""
        candidates, _, reach, _ = self._clusters(0, 0.0)
        return self._per_candidate(candidates, (reach > 0).astype(float)).astype(int)

    def half_width(self, context: int | None = None) -> FloatArray:
        """Return half of the 95 % interval of every arm, nan below two queries.

        The sandwich for a ratio of sums clustered by query: completions of one query are not independent evidence of the mean
        over queries. Student's t with G - 1 degrees of freedom for G queries.

        Args:
            context: A row of the contexts: the interval of Q, shape (P, N). None: of each reward, shape (W, P, N).
        """
        if context is not None:
            return self._half_width(int(self.contexts.which[context]), float(self.contexts.cost_weights[context]))
        return np.stack([self._half_width(w, 0.0) for w in range(len(self.contexts.distinct))])

    def interval(self, context: int, candidate: int, n: int) -> Interval:
        """Return the training estimate of one arm with its interval."""
        value = float(self.q()[context, candidate, n - 1])
        half = float(self.half_width(context)[candidate, n - 1])
        return Interval(value, value - half, value + half, int(self.n_queries()[candidate, n - 1]))

    def _half_width(self, weight_row: int, cost_weight: float) -> FloatArray:
        candidates, totals, visits, _ = self._clusters(weight_row, cost_weight)
        weight = self._per_candidate(candidates, visits)
        groups = self._per_candidate(candidates, (visits > 0).astype(float))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._per_candidate(candidates, totals) / weight
            residuals = np.where(visits > 0, totals - visits * mean[candidates], 0.0)
            squares = self._per_candidate(candidates, residuals**2)
            variance = squares / weight**2 * groups / (groups - 1)
            half: FloatArray = np.where(groups > 1, t_quantile(groups - 1) * np.sqrt(variance), np.nan)
        return half

    def _per_candidate(self, candidates: IntArray, values: FloatArray) -> FloatArray:
        """Sum rows by candidate; the rows are sorted by it. Shape (P, N)."""
        result = np.zeros((len(self.n_pulls), self.n_max), dtype=values.dtype)
        if len(candidates):
            starts = np.flatnonzero(np.r_[True, candidates[1:] != candidates[:-1]])
            result[candidates[starts]] = np.add.reduceat(values, starts, axis=0)
        return result

    def _clusters(self, weight_row: int, cost_weight: float) -> tuple[IntArray, FloatArray, FloatArray, IntArray]:
        """Sum the pulls of each (candidate, query): candidates (G,), totals and visits per scale (G, N), queries (G,)."""
        if not self._cells:
            empty = np.empty(0, dtype=int)
            return empty, np.empty((0, self.n_max)), np.empty((0, self.n_max)), empty
        n_rows = sum(len(cell[0]) for cell in self._cells)
        candidates = np.concatenate([cell[0] for cell in self._cells])
        queries = np.concatenate([cell[1] for cell in self._cells])
        value = np.zeros((n_rows, self.n_max))
        reached = np.zeros((n_rows, self.n_max))
        scales = np.arange(1, self.n_max + 1)
        row = 0
        for _, _, reward, cost in self._cells:
            n = reward.shape[2]
            part = slice(row, row + len(reward))
            value[part, :n] = reward[:, weight_row] - cost_weight * scales[:n] * cost[:, None]
            reached[part, :n] = 1.0
            row += len(reward)
        keys = candidates * (int(queries.max()) + 1) + queries
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) > 0])
        first = order[starts]
        return (
            candidates[first],
            np.add.reduceat(value[order], starts, axis=0),
            np.add.reduceat(reached[order], starts, axis=0),
            queries[first],
        )


def t_quantile(df: FloatArray) -> FloatArray:
    """Return Student's t quantile at 0.975 for whole degrees of freedom, within 1e-3 of the exact value.

    Closed forms for 1 and 2; from 3 on the Cornish-Fisher expansion in 1 / df (Abramowitz and Stegun 26.7.5).
    """
    z = 1.959963984540054
    d = np.maximum(np.asarray(df, dtype=float), 1.0)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    series = z + g1 / d + g2 / d**2 + g3 / d**3 + g4 / d**4
    exact = np.where(d == 1, 12.706204736432095, np.where(d == 2, 4.302652729911275, series))
    return np.where(d == 3, 3.182446305284263, np.where(d == 4, 2.7764451051977987, exact))
