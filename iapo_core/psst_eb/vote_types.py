"""The grid of vote distributions that the empirical-Bayes model mixes: types, what they make of a pull, and shifts between them."""

from __future__ import annotations

from functools import cache
from math import lgamma
from typing import NamedTuple

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.votes import known_credit

_GOLD = np.unique(np.r_[0, 0.02, np.arange(0.05, 0.96, 0.05), 0.98, 1])
_GOLD_OF_TWO = np.unique(np.r_[np.linspace(0, 1, 41), 0.01, 0.99, 0.005, 0.995])
_SHAPES = (0.0, 0.12, 0.3, 0.55, 1.0)
_NONE = (0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
_MAX_WRONG = 8
_SHIFTS = (-0.8, -0.5, -0.35, -0.2, -0.1, 0.0, 0.1, 0.2, 0.35, 0.5, 0.8)
_SHIFTS_OF_MANY = (-0.5, -0.2, 0.0, 0.2, 0.5)  # where a grid is large, for speed


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


class Shifts(NamedTuple):
    """Better and worse versions of every type: the log odds of the gold answer moved by a constant, A of them.

    A shifted type lies between two points of the grid and is that mix of them.
    """

    low: IntArray  # (A, G), rows of the grid
    high: IntArray  # (A, G)
    share: FloatArray  # (A, G), of the upper point

    def likelihoods(self, likelihoods: FloatArray) -> FloatArray:
        """Return P(state | shifted type) from P(state | type) of shape (U, G), shape (A, U, G)."""
        columns = likelihoods.T
        mixed = columns[self.low] * (1 - self.share[..., None]) + columns[self.high] * self.share[..., None]  # (A, G, U)
        return np.ascontiguousarray(mixed.transpose(0, 2, 1))

    def spread(self, weights: FloatArray) -> FloatArray:
        """Return the weights on the grid that shifted weights of shape (R, G) have, shape (A, R, G)."""
        result = np.zeros((len(self.low), weights.shape[1], len(weights)))
        for a, (low, high, share) in enumerate(zip(self.low, self.high, self.share, strict=True)):
            np.add.at(result[a], low, (weights * (1 - share)).T)
            np.add.at(result[a], high, (weights * share).T)
        return result.transpose(0, 2, 1)


@cache
def shifts(n_wrong: int, has_none: bool) -> Shifts:
    """Return the shifts on the grid of `vote_types`; a type that is never or always right stays."""
    types = vote_types(n_wrong, has_none, 1)
    voting = 1 - np.exp(types.log_none)
    gold = np.divide(np.exp(types.log_gold), voting, out=np.zeros_like(voting), where=voting > 1e-9)
    size = types.wrong.sum(axis=1, keepdims=True)
    shape = np.divide(types.wrong, size, out=np.zeros_like(types.wrong), where=size > 1e-9)
    alike = np.unique(np.column_stack([types.log_none, shape]).round(6), axis=0, return_inverse=True)[1].ravel()
    by = np.array(_SHIFTS_OF_MANY if has_none else _SHIFTS)
    stay = np.arange(len(gold))
    low, high, share = np.tile(stay, (len(by), 1)), np.tile(stay, (len(by), 1)), np.zeros((len(by), len(gold)))
    for group in range(int(alike.max()) + 1):
        rows = np.flatnonzero((alike == group) & (gold > 1e-9) & (gold < 1 - 1e-9))
        if len(rows) < 2:
            continue
        rows = rows[np.argsort(gold[rows])]
        p = gold[rows]
        moved = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + by[:, None])))
        below = np.clip(np.searchsorted(p, moved) - 1, 0, len(p) - 2)  # (A, g)
        low[:, rows], high[:, rows] = rows[below], rows[below + 1]
        share[:, rows] = np.clip((moved - p[below]) / (p[below + 1] - p[below]), 0, 1)
    return Shifts(low, high, share)
