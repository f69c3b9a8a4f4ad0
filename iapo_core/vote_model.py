"""Empirical-Bayes model of votes: what a few completions per query say about every scale.

Each (candidate, query) cell has an unknown distribution over the right answer, the wrong answers and no vote. A discrete prior
on a grid of such types is fitted by EM to all cells (Robbins' empirical Bayes, non-parametric on the grid); each candidate's
own weights are shrunk towards the pooled ones by as much as two-fold prediction supports; and the exact credit curves of the
types are averaged over the posterior of every cell.
"""

from __future__ import annotations

from functools import cache
from math import lgamma
from typing import NamedTuple

import numpy as np

from iapo_core.arms import BoolArray, FloatArray, IntArray
from iapo_core.votes import known_credit

STRENGTHS = (3.0, 10.0, 40.0, 200.0, 2000.0)
_GOLD = np.unique(np.r_[0, 0.02, np.arange(0.05, 0.96, 0.05), 0.98, 1])
_GOLD_OF_TWO = np.unique(np.r_[np.linspace(0, 1, 41), 0.01, 0.99, 0.005, 0.995])
_SHAPES = (0.0, 0.12, 0.3, 0.55, 1.0)
_NONE = (0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
_MAX_WRONG = 8
_POOLED_STEPS = 40
_OWN_STEPS = 12
_TINY = 1e-300


class Types(NamedTuple):
    """The support of the prior, G points."""

    log_gold: FloatArray  # (G,)
    wrong: FloatArray  # (G, J), falling
    log_none: FloatArray  # (G,)
    credit: FloatArray  # (G, N), exact credit of every scale


@cache
def vote_types(n_wrong: int, has_none: bool, n_max: int) -> Types:
    """Return the grid: gold probability x shape of the wrong shares (1, t, t^2, ...) x probability of no vote.

    Args:
        n_wrong: How many wrong answers there can be.
        has_none: Whether completions without a vote occur.
        n_max: Largest scale.
    """
    n_wrong = min(n_wrong, _MAX_WRONG)
    golds, shapes = (_GOLD_OF_TWO, (0.0,)) if n_wrong == 1 else (_GOLD, _SHAPES)
    points = [
        (none, gold, shape)
        for none in (_NONE if has_none else (0.0,))
        for gold in (golds if none < 1 else (0.0,))
        for shape in (shapes if gold < 1 and none < 1 else (0.0,))
    ]
    none, gold, shape = np.array(points).T
    shares = shape[:, None] ** np.arange(n_wrong)  # 0 ** 0 = 1: one wrong answer takes all
    wrong = ((1 - none) * (1 - gold))[:, None] * shares / shares.sum(axis=1, keepdims=True)
    right = (1 - none) * gold
    with np.errstate(divide="ignore"):
        return Types(np.log(right), wrong, np.log(none), known_credit(right, wrong, n_max))


def likelihood(states: IntArray, types: Types) -> FloatArray:
    """Return the probability of each count state under each type, over all labelings of the wrong answers, shape (U, G).

    Args:
        states: Rows (gold count, no-vote count, wrong counts in falling order...), shape (U, 2 + J').
        types: The grid.
    """
    result = np.empty((len(states), len(types.log_gold)))
    for row, state in enumerate(states):
        gold, none, parts = int(state[0]), int(state[1]), tuple(int(c) for c in state[2:] if c > 0)
        log_count = lgamma(gold + none + sum(parts) + 1) - sum(lgamma(c + 1) for c in (gold, none, *parts))
        log_p = log_count + _times_log(gold, types.log_gold) + _times_log(none, types.log_none)
        result[row] = np.exp(log_p) * _assignments(parts, types.wrong)
    return result


def _times_log(count: int, log_p: FloatArray) -> FloatArray:
    return count * log_p if count else np.zeros_like(log_p)


def _assignments(parts: tuple[int, ...], wrong: FloatArray) -> FloatArray:
    """Sum prod_j wrong_j^c_j over all distinct ways to give the parts to labels (a monomial symmetric polynomial), shape (G,)."""
    parts = parts[: wrong.shape[1]]  # more distinct answers than the grid has: the smallest are left out
    sums: dict[tuple[int, ...], FloatArray] = {parts: np.ones(len(wrong))}
    for j in range(wrong.shape[1]):
        grown: dict[tuple[int, ...], FloatArray] = {}
        for left, value in sums.items():
            grown[left] = grown.get(left, 0) + value
            for part in set(left):
                rest = list(left)
                rest.remove(part)
                grown[tuple(rest)] = grown.get(tuple(rest), 0) + value * wrong[:, j] ** part
        n_left = wrong.shape[1] - j - 1
        sums = {left: value for left, value in grown.items() if len(left) <= n_left}
    return sums.get((), np.zeros(len(wrong)))


class VoteCells:
    """Votes of every (candidate, query) cell of a run; a second visit deepens a cell.

    Args:
        n_candidates: P.
    """

    def __init__(self, n_candidates: int) -> None:
        self._n_candidates = n_candidates
        self._keys = np.empty((0, 3), dtype=np.int64)  # rows (candidate, query, answer + 1), sorted, no two alike
        self._counts = np.empty(0, dtype=np.int64)
        self._gold: dict[int, int] = {}
        self._likelihoods: dict[tuple[int, ...], FloatArray] = {}
        self._types: tuple[int, bool, int] | None = None
        self._fitted: _Fitted | None = None

    def add(self, candidates: IntArray, queries: IntArray, answers: IntArray, gold: IntArray) -> None:
        """Take in pulls of equal size: codes of shape (M, n), right answers of shape (M,)."""
        self._gold.update(zip(queries.tolist(), gold.tolist(), strict=True))
        n = answers.shape[1]
        rows = np.column_stack([np.repeat(candidates, n), np.repeat(queries, n), np.maximum(answers.ravel(), -1) + 1])
        keys, inverse = np.unique(np.concatenate([self._keys, rows]), axis=0, return_inverse=True)
        counts = np.concatenate([self._counts, np.ones(len(rows), dtype=np.int64)])
        self._counts = np.bincount(inverse.ravel(), weights=counts, minlength=len(keys)).astype(np.int64)
        self._keys = keys

    @property
    def n_queries(self) -> int:
        """Queries that any candidate was pulled on."""
        return len(self._gold)

    def fit(self, n_max: int) -> Fit:
        """Fit the model to all cells so far; two-fold by the parity of a query's rank among those seen."""
        candidates, queries, states = self._states()
        unique, inverse = np.unique(states, axis=0, return_inverse=True)
        kind = (states.shape[1] - 2, bool(states[:, 1].any()), n_max)
        if kind != self._types:
            self._types, self._likelihoods = kind, {}
        types = vote_types(*kind)
        names = [tuple(row) for row in unique.tolist()]
        new = [i for i, name in enumerate(names) if name not in self._likelihoods]
        self._likelihoods.update({names[i]: row for i, row in zip(new, likelihood(unique[new], types), strict=True)})
        ranks = np.unique(queries, return_inverse=True)[1].ravel()
        slots = ((ranks % 2) * self._n_candidates + candidates) * len(unique) + inverse.ravel()
        half = np.bincount(slots, minlength=2 * self._n_candidates * len(unique)).reshape(2, self._n_candidates, len(unique))
        likelihoods = np.stack([self._likelihoods[name] for name in names])
        fit = fit_votes(half, likelihoods, types.credit)
        self._fitted = _Fitted(candidates, ranks, inverse.ravel(), likelihoods, types.credit, fit.own)
        return fit

    def resampled(self, candidates: IntArray, n_resamples: int, rng: np.random.Generator, scales: IntArray) -> FloatArray:
        """Return the credit that other draws of the same number of queries might have shown, by the last fit.

        Every resample weighs the queries anew (Rubin 1981, the Bayesian bootstrap), the same for all candidates, so that what a
        batch of easy or hard queries does to all of them alike stays alike.

        Args:
            candidates: Rows of interest, p of them.
            n_resamples: B.
            rng: Source of the weights.
            scales: N of interest, K of them.

        Returns:
            Shape (K, B, p), nan where a candidate has no cell.
        """
        fitted = self._fitted
        if fitted is None:
            raise ValueError("fit comes before resampling")
        weights = rng.standard_exponential((n_resamples, int(fitted.queries.max(initial=0)) + 1))  # Dirichlet once divided
        credit = fitted.credit[:, scales - 1]  # (G, K)
        result = np.full((len(scales), n_resamples, len(candidates)), np.nan)
        starts = np.searchsorted(fitted.candidates, candidates)  # cells are sorted by candidate
        ends = np.searchsorted(fitted.candidates, candidates, side="right")
        for row, (candidate, start, end) in enumerate(zip(candidates.tolist(), starts.tolist(), ends.tolist(), strict=True)):
            if start == end:
                continue
            states, which = np.unique(fitted.states[start:end], return_inverse=True)
            posterior = fitted.own[candidate] * fitted.likelihoods[states]  # (U, G)
            posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), _TINY)
            shares = weights[:, fitted.queries[start:end]]  # (B, cells)
            shares /= shares.sum(axis=1, keepdims=True)
            result[:, :, row] = (shares @ (posterior @ credit)[which]).T
        return result

    def _states(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return candidate, query and count state (gold, none, wrong counts in falling order) of every cell."""
        is_new = np.r_[True, (self._keys[1:, :2] != self._keys[:-1, :2]).any(axis=1)]
        cell = np.cumsum(is_new) - 1  # (rows,)
        first = np.flatnonzero(is_new)
        queries = self._keys[first, 1]
        gold = np.array([self._gold[q] for q in queries.tolist()]) + 1
        is_none = self._keys[:, 2] == 0
        is_right = (self._keys[:, 2] == gold[cell]) & ~is_none
        wrong = np.flatnonzero(~is_none & ~is_right)
        wrong = wrong[np.lexsort((-self._counts[wrong], cell[wrong]))]
        starts = np.flatnonzero(np.r_[True, np.diff(cell[wrong]) > 0]) if len(wrong) else np.empty(0, dtype=int)
        rank = np.arange(len(wrong)) - np.repeat(starts, np.diff(np.r_[starts, len(wrong)]))
        width = max(int(rank.max(initial=0)) + 1, 1)
        states = np.zeros((len(first), 2 + width), dtype=np.int64)
        states[cell[is_right], 0] = self._counts[is_right]
        states[cell[is_none], 1] = self._counts[is_none]
        states[cell[wrong], 2 + rank] = self._counts[wrong]
        return self._keys[first, 0], queries, states


class _Fitted(NamedTuple):
    """What a fit saw, cell by cell."""

    candidates: IntArray  # (cells,), rising
    queries: IntArray  # (cells,), rank among the queries seen
    states: IntArray  # (cells,), row of likelihoods
    likelihoods: FloatArray  # (U, G)
    credit: FloatArray  # (G, N)
    own: FloatArray  # (P, G)


class Fit(NamedTuple):
    """The fitted model of every candidate."""

    credit: FloatArray  # (P, N), nan where a candidate has no cell
    variance: FloatArray  # (P, N), of one query's credit under the candidate's own weights
    strength: float  # how many queries' worth the pooled prior counts
    own: FloatArray  # (P, G), weights of the types


def fit_votes(half: IntArray, likelihoods: FloatArray, credit: FloatArray, strength: float | None = None) -> Fit:
    """Fit the pooled prior, choose the shrinkage, and average the credit curves over the posteriors.

    Args:
        half: Histogram over count states of each candidate on two halves of the queries, shape (2, P, U).
        likelihoods: P(state | type), shape (U, G).
        credit: Exact credit of each type, shape (G, N).
        strength: Shrinkage; chosen by two-fold predictive likelihood where None.
    """
    histogram = half.sum(axis=0).astype(float)  # (P, U)
    n_cells = histogram.sum(axis=1, keepdims=True)  # (P, 1)
    is_seen: BoolArray = n_cells[:, 0] > 0
    pooled = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
    total = histogram.sum(axis=0)
    for _ in range(_POOLED_STEPS):
        pooled = pooled * (likelihoods.T @ (total / np.maximum(likelihoods @ pooled, _TINY)))
        pooled /= pooled.sum()
    if strength is None:
        strength = max(STRENGTHS, key=lambda k: _predictive(half[:, is_seen], likelihoods, pooled, k))
    own = _shrunk(histogram, likelihoods, pooled, strength)
    posterior = _step(own, histogram, likelihoods) / np.maximum(n_cells, 1)  # (P, G)
    mean = posterior @ credit
    variance = posterior @ credit**2 - mean**2
    mean[~is_seen] = np.nan
    return Fit(mean, np.maximum(variance, 0.0), strength, own)


def _step(weights: FloatArray, histogram: FloatArray, likelihoods: FloatArray) -> FloatArray:
    """Return the expected number of cells of each type, shape (P, G)."""
    expected: FloatArray = weights * ((histogram / np.maximum(weights @ likelihoods.T, _TINY)) @ likelihoods)
    return expected


def _shrunk(histogram: FloatArray, likelihoods: FloatArray, pooled: FloatArray, strength: float) -> FloatArray:
    n_cells = histogram.sum(axis=1, keepdims=True)
    weights = np.broadcast_to(pooled, (len(histogram), len(pooled)))
    for _ in range(_OWN_STEPS):
        weights = (_step(weights, histogram, likelihoods) + strength * pooled) / (n_cells + strength)
    return weights


def _predictive(half: IntArray, likelihoods: FloatArray, pooled: FloatArray, strength: float) -> float:
    """Return the log likelihood of each half under the weights fitted to the other."""
    score = 0.0
    for seen, unseen in ((half[0], half[1]), (half[1], half[0])):
        weights = _shrunk(seen.astype(float), likelihoods, pooled, strength)
        score += float((unseen * np.log(np.maximum(weights @ likelihoods.T, _TINY))).sum())
    return score
