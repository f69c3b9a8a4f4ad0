"""Exact expected credit of a majority vote, by a generating function with Gauss-Legendre quadrature.

With v votes for the gold answer the credit is 1 / (1 + ties) if no other answer has more than v, and
1 / (1 + ties) = integral over [0, 1] of u^ties du. So, with w_j(i) the weight of answer j getting i votes,

    credit_k = (1 / norm_k) sum_v w_gold(v) integral [z^(k-v)] w_none(z) prod_j (sum_{i<v} w_j(i) z^i + u w_j(v) z^v) du.

With w = C(m, i) this is the mean over all k-subsets of a pull with counts m; with w = p^i / i! it is the exact credit
under known answer probabilities. The integrand is a polynomial in u of degree at most the number J of other answers, so
ceil((J + 1) / 2) nodes make it exact. All terms are non-negative: nothing cancels.
"""

from __future__ import annotations

from functools import cache
from math import ceil, comb, lgamma

import numpy as np

from iapo_core.arms import FloatArray, IntArray

_CHUNK = 256


def count_states(answers: IntArray, gold: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Reduce pulls to what their credit depends on.

    Args:
        answers: Answer codes, below 0 for no vote, shape (M, n).
        gold: Code of the right answer, shape (M,).

    Returns:
        Gold counts (M,), the other answers' counts in falling order (M, J), completions without a vote (M,).
    """
    n_pulls = len(answers)
    n_codes = int(max(answers.max(initial=0), gold.max(initial=0))) + 1
    rows = np.arange(n_pulls)
    keys = rows[:, None] * (n_codes + 1) + np.maximum(answers, -1) + 1
    counts = np.bincount(keys.ravel(), minlength=n_pulls * (n_codes + 1)).reshape(n_pulls, n_codes + 1)
    none = counts[:, 0].copy()
    right = np.maximum(gold, -1) + 1
    gold_counts = np.where(gold >= 0, counts[rows, right], 0)
    counts[rows, right] = 0
    counts[:, 0] = 0
    others = -np.sort(-counts, axis=1)
    return gold_counts, others[:, : max(int((others > 0).any(axis=0).sum()), 1)], none


class _Table:
    """Credits of the count states met so far; estimation then costs a look-up."""

    def __init__(self) -> None:
        self.rows: dict[bytes, int] = {}
        self.credits = np.empty((0, 0))

    def look_up(self, states: IntArray, n_max: int) -> FloatArray:
        keys = np.ascontiguousarray(states.astype(np.uint16))
        packed = keys.view(np.dtype((np.void, keys.dtype.itemsize * keys.shape[1]))).ravel()
        unique, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        names = [bytes(key).rstrip(b"\0") for key in unique.tolist()]  # trailing zeros: fewer other answers, same state
        new = [i for i, name in enumerate(names) if name not in self.rows]
        if new:
            fresh = states[first[new]]
            credits = _subset_credit(fresh[:, 0], fresh[:, 2:], fresh[:, 1], n_max)
            self.credits = np.concatenate([self.credits.reshape(-1, n_max), credits])
            for i in new:
                self.rows[names[i]] = len(self.rows)
        picked: FloatArray = self.credits[[self.rows[name] for name in names]][inverse.ravel()]
        return picked


@cache
def _table(n_max: int) -> _Table:
    return _Table()


def vote_credit(gold: IntArray, others: IntArray, none: IntArray, n_max: int) -> FloatArray:
    """Return the mean credit over all k-subsets of pulls with the given counts, for k = 1..n_max.

    Args:
        gold: Votes for the right answer, shape (M,).
        others: Votes for each other answer in falling order, shape (M, J).
        none: Completions that vote for nothing, shape (M,).
        n_max: Largest scale.

    Returns:
        Shape (M, n_max); nan where k exceeds the pull.
    """
    return _table(n_max).look_up(np.column_stack([gold, none, others]), n_max)


def known_credit(gold: FloatArray, others: FloatArray, n_max: int) -> FloatArray:
    """Return the exact credit for k = 1..n_max where answer probabilities are known.

    Args:
        gold: Probability of the right answer, shape (U,).
        others: Probabilities of the other answers, shape (U, J); what is missing to 1 votes for nothing.
        n_max: Largest scale.

    Returns:
        Shape (U, n_max).
    """
    others = -np.sort(-others, axis=1)  # symmetric in the others, so that equal mixes are computed once
    mixes, inverse = np.unique(np.column_stack([gold, others]), axis=0, return_inverse=True)
    none = np.clip(1.0 - mixes.sum(axis=1), 0.0, 1.0)
    none[none < 1e-12] = 0.0
    scales = np.arange(n_max + 1)
    log_factorial = np.array([lgamma(k + 1) for k in scales])
    # Weights carry (p n)^i / i! instead of p^i / i!, so that nothing overflows at n = 256.
    log_norm = scales * np.log(n_max) - log_factorial

    def poisson(p: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = scales * np.log(p[..., None] * n_max) - log_factorial
        return np.where(scales == 0, 1.0, np.exp(np.where(p[..., None] > 0, logs, -np.inf)))

    credit = _credit(poisson(mixes[:, 0]), poisson(mixes[:, 1:]), poisson(none), n_max)
    result: FloatArray = (credit[:, 1:] / np.exp(log_norm[1:]))[inverse.ravel()]
    return result


def _subset_credit(gold: IntArray, others: IntArray, none: IntArray, n_max: int) -> FloatArray:
    choose = _binomials(int(max(n_max, gold.max(initial=0), others.max(initial=0), none.max(initial=0))))[:, : n_max + 1]
    n = gold + others.sum(axis=1) + none
    norm = _binomials(int(max(n.max(), n_max)))[n, : n_max + 1]
    credit = _credit(choose[gold], choose[others], choose[none], n_max)
    with np.errstate(invalid="ignore"):
        return np.where(norm > 0, credit / np.where(norm > 0, norm, 1.0), np.nan)[:, 1:]


@cache
def _binomials(n: int) -> FloatArray:
    table = np.array([[comb(m, i) for i in range(n + 1)] for m in range(n + 1)], dtype=float)
    table.setflags(write=False)
    return table


def _credit(gold: FloatArray, others: FloatArray, none: FloatArray, n_max: int) -> FloatArray:
    """Return the unnormalised credit, shape (U, n_max + 1); weights of shapes (U, n+1), (U, J, n+1), (U, n+1)."""
    chunks = [
        _credit_chunk(gold[s : s + _CHUNK], others[s : s + _CHUNK], none[s : s + _CHUNK], n_max)
        for s in range(0, len(gold), _CHUNK)
    ]
    return np.concatenate(chunks) if chunks else np.empty((0, n_max + 1))


def _credit_chunk(gold: FloatArray, others: FloatArray, none: FloatArray, n_max: int) -> FloatArray:
    n_others = others.shape[1]
    roots, quadrature = np.polynomial.legendre.leggauss(ceil((n_others + 1) / 2))
    nodes, quadrature = (roots + 1) / 2, quadrature / 2  # on [0, 1]
    reach = [int(np.flatnonzero(others[:, j].any(axis=0)).max(initial=0)) for j in range(n_others)]
    result = np.zeros((len(gold), n_max + 1))
    for v in range(1, n_max + 1):
        rows = np.flatnonzero(gold[:, v])
        if not len(rows):
            continue
        length = n_max - v + 1
        product = np.broadcast_to(none[rows, :length], (len(nodes), len(rows), length))
        for j in range(n_others):
            top = min(v, reach[j], length - 1)
            weights = others[rows, j]
            grown = weights[:, :1] * product
            for i in range(1, top + 1):
                term = weights[:, i : i + 1] * product[..., : length - i]
                grown[..., i:] += term if i < v else nodes[:, None, None] * term
            product = grown
        result[rows, v:] += gold[rows, v : v + 1] * np.tensordot(quadrature, product, axes=1)
    return result
