"""What a run drew, summed per candidate and query: completions of one query are not independent evidence of the mean over queries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.intervals import Ends, at_end, bounded

_STRIDE = 2**32  # more than any number of queries
_BLOCK = 2**22  # resampled means in memory at once


class Clusters:
    """Sums over the pulls of each (candidate, query), G of them, sorted by candidate; new pulls are merged when first needed.

    Args:
        n_candidates: P.
        n_weights: W.
        n_max: N.
    """

    def __init__(self, n_candidates: int, n_weights: int, n_max: int) -> None:
        self._n_candidates, self._n_max = n_candidates, n_max
        self._keys: IntArray = np.empty(0, dtype=np.int64)
        self._totals = np.empty((0, n_weights, n_max), dtype=np.float32)  # rewards before cost, (G, W, N)
        self._costs = np.empty((0, n_max))  # cost of one completion, summed over the pulls that reach k, (G, N)
        self._visits = np.empty((0, n_max))  # pulls that reach k, (G, N)
        self._rows: IntArray = np.empty(0, dtype=np.int64)  # candidate of each, (G,)
        self._starts: IntArray = np.empty(0, dtype=np.int64)  # where each candidate's begin
        nothing: FloatArray = np.zeros((n_candidates, n_max))
        self._pulls, self._squares, self._cubes = nothing, nothing, nothing  # visits summed by power, (P, N)
        self._new: list[tuple[IntArray, FloatArray, FloatArray]] = []

    def add(self, candidates: IntArray, queries: IntArray, reward: FloatArray, cost: FloatArray) -> None:
        """Take in pulls of one size n: rewards of shape (M, W, n), cost of one completion (M,)."""
        self._new.append((candidates * _STRIDE + queries, reward.astype(np.float32), cost))

    def n_queries(self) -> IntArray:
        """Return the distinct queries behind each arm, shape (P, N)."""
        self._merge()
        return self._per_candidate((self._visits > 0).astype(float)).astype(int)

    def ends(self, weight_row: int, cost_weight: float, low: float, high: float) -> Ends:
        """Return the interval of every arm's mean reward, with the spread that cost adds, each end of shape (P, N).

        A query's weight is its share w of the pulls; the squared residuals are divided by sum w^2 (1 - 2 w + sum w^2), which
        makes the variance unbiased where queries vary alike, and the effective number of queries is 1 / sum w^2.

        Args:
            weight_row: Which of the distinct weights.
            cost_weight: What cost counts.
            low: Lowest reward before cost, -inf where unknown.
            high: Highest reward before cost.
        """
        self._merge()
        visits, totals = self._visits, self._totals[:, weight_row].astype(float)  # (G, N)
        with np.errstate(invalid="ignore", divide="ignore"):
            silent = self._per_candidate(visits * at_end(totals / visits, low, high)) / self._pulls
            if cost_weight:  # in the rewards' range: only what a query costs more or less than the mean
                dear = self._costs - visits * (self._per_candidate(self._costs) / self._pulls)[self._rows]
                totals -= cost_weight * np.arange(1, self._n_max + 1) * dear
            mean = self._per_candidate(totals) / self._pulls  # (P, N)
            squares = self._per_candidate((totals - visits * mean[self._rows]) ** 2) / self._pulls**2
            second, third = self._squares / self._pulls**2, self._cubes / self._pulls**3  # sums of w^2 and w^3
            variance = squares / (second - 2 * third + second**2)
            return bounded(mean, variance, 1 / second, silent, low, high)

    def resampled(self, candidates: IntArray, n_resamples: int, rng: np.random.Generator) -> Iterator[FloatArray]:
        """Yield mean rewards of these candidates over bootstrap resamples of the queries, in blocks of shape (b, W, p, N).

        All candidates meet the same resample; nan where a resample holds no query that an arm was seen on.
        """
        self._merge()
        queries, place = np.unique(self._keys % _STRIDE, return_inverse=True)
        n_weights = self._totals.shape[1]
        block = max(_BLOCK // max(n_weights * len(candidates) * self._n_max, 1), 1)
        for start in range(0, n_resamples, block):
            size = min(block, n_resamples - start)
            counts = rng.multinomial(len(queries), np.full(len(queries), 1 / len(queries)), size=size).astype(float)
            mean = np.full((size, n_weights, len(candidates), self._n_max), np.nan)
            for i, p in enumerate(candidates):
                mine = slice(*np.searchsorted(self._rows, [p, p + 1]))
                drawn = counts[:, place[mine]]  # (b, g)
                totals = (drawn @ self._totals[mine].reshape(drawn.shape[1], -1)).reshape(size, n_weights, -1)
                with np.errstate(invalid="ignore", divide="ignore"):
                    mean[:, :, i] = totals / (drawn @ self._visits[mine])[:, None]
            yield mean

    def _per_candidate(self, values: FloatArray) -> FloatArray:
        """Sum the rows of each candidate, shape (P, N)."""
        result = np.zeros((self._n_candidates, self._n_max))
        if len(values):
            result[self._rows[self._starts]] = np.add.reduceat(values, self._starts, axis=0)
        return result

    def _merge(self) -> None:
        if not self._new:
            return
        keys = np.unique(np.concatenate([self._keys, *(part[0] for part in self._new)]))
        old = np.searchsorted(keys, self._keys)
        totals = np.zeros((len(keys), *self._totals.shape[1:]), dtype=np.float32)
        costs, visits = np.zeros((len(keys), self._n_max)), np.zeros((len(keys), self._n_max))
        totals[old], costs[old], visits[old] = self._totals, self._costs, self._visits
        for drawn, reward, cost in self._new:
            at, n = np.searchsorted(keys, drawn), reward.shape[2]
            np.add.at(totals[:, :, :n], at, reward)
            np.add.at(costs[:, :n], at, cost[:, None])
            np.add.at(visits[:, :n], at, 1)
        self._keys, self._totals, self._costs, self._visits, self._new = keys, totals, costs, visits, []
        self._rows = keys // _STRIDE
        self._starts = np.flatnonzero(np.r_[True, self._rows[1:] != self._rows[:-1]])
        self._pulls, self._squares, self._cubes = (self._per_candidate(visits**power) for power in (1, 2, 3))
