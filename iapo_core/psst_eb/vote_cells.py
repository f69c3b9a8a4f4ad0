"""Votes of every (candidate, query) cell of a run, reduced to what their likelihood depends on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.psst_eb.vote_types import Types, likelihood, vote_types

_STRIDE = 2**24  # more than any number of queries or answers


class Cells(NamedTuple):
    """The cells as arrays; M of them, sorted by candidate."""

    rows: IntArray  # (R,), the candidates that have cells
    candidates: IntArray  # (M,), places in `rows`
    queries: IntArray  # (M,), ranks among the queries seen
    states: IntArray  # (M,), rows of `likelihoods`
    likelihoods: FloatArray  # (U, G), P(state | type)
    types: Types
    kind: tuple[int, bool]  # wrong answers, whether completions without a vote occur


class VoteCells:
    """Votes of every (candidate, query) cell of a run; a second visit deepens a cell."""

    def __init__(self) -> None:
        self._cell = np.empty(0, dtype=np.int64)  # candidate and query in one number, sorted with the answers
        self._answers = np.empty(0, dtype=np.int64)  # code + 1, 0 for no vote
        self._counts = np.empty(0, dtype=np.int64)
        self._gold: IntArray = np.empty(0, dtype=np.int64)  # of every query, -2 where it was not seen
        self._likelihoods: dict[tuple[int, ...], FloatArray] = {}
        self._kind: tuple[int, bool, int] | None = None

    def add(self, candidates: IntArray, queries: IntArray, answers: IntArray, gold: IntArray) -> None:
        """Take in pulls of equal size: codes of shape (M, n), right answers of shape (M,)."""
        if (n_more := int(queries.max(initial=-1)) + 1 - len(self._gold)) > 0:
            self._gold = np.r_[self._gold, np.full(n_more, -2)]
        self._gold[queries] = gold
        cell = np.repeat(candidates.astype(np.int64) * _STRIDE + queries, answers.shape[1])
        answer = np.maximum(answers.ravel(), -1).astype(np.int64) + 1
        cell, answer = np.r_[self._cell, cell], np.r_[self._answers, answer]
        counts = np.r_[self._counts, np.ones(answers.size, dtype=np.int64)]
        order = np.lexsort((answer, cell))
        cell, answer = cell[order], answer[order]
        first = np.flatnonzero(np.r_[True, (np.diff(cell) > 0) | (np.diff(answer) != 0)])
        self._cell, self._answers, self._counts = cell[first], answer[first], np.add.reduceat(counts[order], first)

    @property
    def n_queries(self) -> int:
        """Queries that any candidate was pulled on."""
        return int((self._gold > -2).sum())

    def table(self, n_max: int) -> Cells:
        """Return the cells with the likelihood of their states."""
        candidates, queries, states = self._states()
        unique, which = _unique_rows(states)
        kind = (states.shape[1] - 2, bool(states[:, 1].any()), n_max)
        if kind != self._kind:
            self._kind, self._likelihoods = kind, {}
        types = vote_types(*kind)
        names = [tuple(row) for row in unique.tolist()]
        if new := [i for i, name in enumerate(names) if name not in self._likelihoods]:
            self._likelihoods.update({names[i]: row for i, row in zip(new, likelihood(unique[new], types), strict=True)})
        rows, places = np.unique(candidates, return_inverse=True)
        ranks = np.unique(queries, return_inverse=True)[1].ravel()
        return Cells(rows, places.ravel(), ranks, which, np.stack([self._likelihoods[n] for n in names]), types, kind[:2])

    def _states(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return candidate, query and count state (gold, none, wrong counts in falling order) of every cell."""
        is_new = np.r_[True, np.diff(self._cell) > 0]
        cell = np.cumsum(is_new) - 1  # (rows,)
        first = np.flatnonzero(is_new)
        queries = self._cell[first] % _STRIDE
        gold = self._gold[queries] + 1
        is_none = self._answers == 0
        is_right = (self._answers == gold[cell]) & ~is_none
        wrong = np.flatnonzero(~is_none & ~is_right)
        wrong = wrong[np.lexsort((-self._counts[wrong], cell[wrong]))]
        starts = np.flatnonzero(np.r_[True, np.diff(cell[wrong]) > 0]) if len(wrong) else np.empty(0, dtype=int)
        rank = np.arange(len(wrong)) - np.repeat(starts, np.diff(np.r_[starts, len(wrong)]))
        width = max(int(rank.max(initial=0)) + 1, 1)
        states = np.zeros((len(first), 2 + width), dtype=np.int64)
        states[cell[is_right], 0] = self._counts[is_right]
        states[cell[is_none], 1] = self._counts[is_none]
        states[cell[wrong], 2 + rank] = self._counts[wrong]
        return self._cell[first] // _STRIDE, queries, states


def _unique_rows(states: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct rows and which of them each row is; in one number per row where it fits, which sorts faster."""
    base = int(states.max(initial=0)) + 1
    if base ** states.shape[1] >= 2**62:
        unique, which = np.unique(states, axis=0, return_inverse=True)
        return unique, which.ravel()
    codes = states @ (base ** np.arange(states.shape[1], dtype=np.int64))
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return states[first], which.ravel()
