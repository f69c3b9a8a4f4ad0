"""Estimates of Q from the pulls of a run, pooled over all rounds (stockpiling), with intervals clustered by query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from iapo_core.arms import Contexts, FloatArray, IntArray
from iapo_core.clusters import Clusters
from iapo_core.environment import Outcomes, Pulls
from iapo_core.intervals import Ends, half_width
from iapo_core.intervals import t_quantile as t_quantile
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
        ranges: Lowest and highest score of each objective, shape (K, 2); intervals stay within, and know what scores at an end
            of their range can hide.
    """

    def __init__(
        self,
        n_candidates: int,
        n_max: int,
        contexts: Contexts,
        strategy: str,
        method: Method = "subsets",
        ranges: FloatArray | None = None,
    ) -> None:
        self.contexts = contexts
        self.n_max = n_max
        self._strategy = strategy
        self._method: Method = method
        shape = (n_candidates, len(contexts.distinct), n_max)
        self._sum = np.zeros(shape)  # (P, W, N)
        self.n_pulls: IntArray = np.zeros((n_candidates, n_max), dtype=int)
        self._cost_sum = np.zeros(n_candidates)
        self.n_completions: IntArray = np.zeros(n_candidates, dtype=int)
        self._clusters = Clusters(n_candidates, len(contexts.distinct), n_max)
        if strategy == "majority_vote":  # credit lies in [0, 1]
            self._bounds = contexts.distinct[:, :1] * np.array([0.0, 1.0])  # (W, 2)
        elif ranges is not None:
            self._bounds = contexts.distinct @ ranges
        else:
            self._bounds = np.broadcast_to([-np.inf, np.inf], (len(contexts.distinct), 2))

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
            self._clusters.add(candidates, pulls.queries[rows], reward, cost)

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

    def q_of(self, context: int) -> FloatArray:
        """Return Q(p, k) in one context, shape (P, N)."""
        cost = self.mean_costs[:, None] * np.arange(1, self.n_max + 1)
        q: FloatArray = self.reward[self.contexts.which[context]] - self.contexts.cost_weights[context] * cost
        return q

    def n_queries(self) -> IntArray:
        """Return the distinct queries behind each arm, shape (P, N)."""
        return self._clusters.n_queries()

    def half_width(self, context: int | None = None) -> FloatArray:
        """Return the distance from every estimate to the farther end of its 95 % interval, nan below two queries.

        Args:
            context: A row of the contexts: the interval of Q, shape (P, N). None: of each reward, shape (W, P, N).
        """
        if context is not None:
            return half_width(self.q_of(context), self.ends(context))
        reward = self.reward
        return np.stack([half_width(reward[w], self._clusters.ends(w, 0.0, *self._bounds[w])) for w in range(len(reward))])

    def ends(self, context: int) -> Ends:
        """Return the 95 % interval of Q in one context, clustered by query, each end of shape (P, N)."""
        w, cost_weight = int(self.contexts.which[context]), float(self.contexts.cost_weights[context])
        cost = cost_weight * self.mean_costs[:, None] * np.arange(1, self.n_max + 1)  # (P, N)
        low, high = self._clusters.ends(w, cost_weight, *self._bounds[w])
        return Ends(low - cost, high - cost)

    def resampled(self, candidates: IntArray, n_resamples: int, rng: np.random.Generator) -> Iterator[FloatArray]:
        """Yield mean rewards over bootstrap resamples of the queries, in blocks of shape (b, W, p, N)."""
        return self._clusters.resampled(candidates, n_resamples, rng)

    def interval(self, context: int, candidate: int, n: int) -> Interval:
        """Return the training estimate of one arm with its interval."""
        ends = self.ends(context)
        arm = candidate, n - 1
        return Interval(float(self.q_of(context)[arm]), float(ends.low[arm]), float(ends.high[arm]), int(self.n_queries()[arm]))
