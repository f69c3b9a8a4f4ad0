"""Empirical-Bayes model of votes: what a few completions per query say about every scale.

Each (candidate, query) cell has an unknown distribution over the right answer, the wrong answers and no vote: a type on a grid. Types
have a prior that is fitted to all cells of a run (Robbins' empirical Bayes, non-parametric on the grid), in three layers:

* candidates come in a few kinds, and each is better or worse than its kind by a constant in the log odds of the gold answer, so
  that a few steady prompts are not drawn towards the many polarised ones, and a level is learned from few votes;
* queries come in a few classes, shared by all candidates, so that a query is known from the votes of all of them, and a candidate
  that met easier queries than another is compared by class (post-stratification);
* a candidate's own weights are shrunk towards those of its kind by as much as two-fold prediction supports.

The exact credit curves of the types are then averaged over the posterior of every cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.psst_eb.vote_blocks import cell_counts, first_classes, fitted_blocks, pooled_weights, shrunk, softmax, step
from iapo_core.psst_eb.vote_cells import Cells
from iapo_core.psst_eb.vote_types import shifts

STRENGTHS = (10.0, 200.0)
N_KINDS, N_CLASSES = 3, 4
_QUERIES_PER_CLASS = 6
_RESAMPLED_STEPS = 3
_KEPT = 0.5  # cells' worth of the shrunk weights in an average over few cells
_MOST_FOLDED = 200
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Fit:
    """The fitted model of every candidate that has cells, R of them.

    Attributes:
        cells: What was fitted.
        strength: How many cells' worth the prior of a candidate counts, in each class.
        classes: Probability of every query's class, shape (X, Q).
        prior: Weights of the types for every kind and shift, by class, shape (L, Q, G).
        log_share: Log share of every kind and shift, shape (L,).
        log_state: Log probability of a state under them, shape (L, Q, U).
        mixed: Every candidate's weights of the types over all queries seen, shape (R, G).
    """

    cells: Cells
    strength: float
    classes: FloatArray
    prior: FloatArray
    log_share: FloatArray
    log_state: FloatArray
    mixed: FloatArray

    @property
    def credit(self) -> FloatArray:
        """The modelled credit, shape (R, N)."""
        curves: FloatArray = self.mixed @ self.cells.types.credit
        return curves

    @property
    def variance(self) -> FloatArray:
        """Variance of one query's credit, shape (R, N)."""
        spread: FloatArray = np.maximum(self.mixed @ self.cells.types.credit**2 - self.credit**2, 0.0)
        return spread

    def resampled(self, rows: IntArray, n_resamples: int, rng: np.random.Generator, scales: IntArray) -> FloatArray:
        """Return the credit that other draws of the queries, and other models that fit as well, might have shown.

        Every resample weighs the queries anew (Rubin 1981, the Bayesian bootstrap), the same for all candidates, so that what a
        batch of easy or hard queries does to all of them alike stays alike; draws every candidate's kind and shift from their
        posterior; and fits its own weights again.

        Args:
            rows: Places among the candidates that have cells, r of them.
            n_resamples: B.
            rng: Source of weights and draws.
            scales: N of interest, K of them.

        Returns:
            Shape (K, B, r).
        """
        cells, n_queries = self.cells, len(self.classes)
        weights = rng.standard_exponential((n_resamples, n_queries))
        weights *= n_queries / weights.sum(axis=1, keepdims=True)
        shares = weights @ self.classes / n_queries  # (B, Q)
        credit = cells.types.credit[:, scales - 1]  # (G, K)
        result = np.empty((len(scales), n_resamples, len(rows)))
        starts = np.searchsorted(cells.candidates, np.arange(len(cells.rows) + 1))
        for column, row in enumerate(rows.tolist()):
            mine = slice(starts[row], starts[row + 1])
            states, which = np.unique(cells.states[mine], return_inverse=True)
            met = self.classes[cells.queries[mine]]  # (m, Q)
            marks = np.zeros((len(met), met.shape[1], len(states)))
            marks[np.arange(len(met)), :, which.ravel()] = met
            counts = weights[:, cells.queries[mine]] @ marks.reshape(len(met), -1)
            counts = counts.reshape(n_resamples, met.shape[1], len(states))  # (B, Q, U')
            log_posterior = _matched(counts, self.log_state[:, :, states]) + self.log_share  # (B, L)
            drawn = (log_posterior + rng.gumbel(size=log_posterior.shape)).argmax(axis=1)
            likelihoods = cells.likelihoods[states]
            own = shrunk(counts, likelihoods, self.prior[drawn], self.strength, _RESAMPLED_STEPS)
            own = _averaged(counts, likelihoods, own)
            result[:, :, column] = (np.einsum("bq,bqg->bg", shares, own) @ credit).T
        return result


def fit_votes(cells: Cells, n_kinds: int = N_KINDS, n_classes: int = N_CLASSES, strengths: tuple[float, ...] = STRENGTHS) -> Fit:
    """Fit kinds of candidates and classes of queries, choose the shrinkage, and average over the posteriors.

    Args:
        cells: The votes.
        n_kinds: Kinds of candidates, at least 1; the first fits all of them, each further one starts from the candidate that
            the others explain worst.
        n_classes: Classes of queries at most; fewer while few queries were seen.
        strengths: Shrinkages to choose from.
    """
    n_queries = int(cells.queries.max()) + 1
    moves = shifts(*cells.kind)
    pooled = pooled_weights(cells)
    classes = first_classes(cells, pooled, max(1, min(n_classes, n_queries // _QUERIES_PER_CLASS)))
    kinds, log_share, classes = fitted_blocks(cells, moves, pooled, classes, min(n_kinds, len(cells.rows)))
    prior = moves.spread(kinds.reshape(-1, kinds.shape[-1]))  # (A, K Q, G)
    prior = prior.reshape(-1, *kinds.shape).transpose(1, 0, 2, 3).reshape(-1, *kinds.shape[1:])  # (K A, Q, G)
    log_state = np.log(np.maximum(prior @ cells.likelihoods.T, _TINY))
    log_share = log_share.ravel()
    likelihoods = cells.likelihoods

    def centre(counts: FloatArray) -> FloatArray:
        return np.tensordot(softmax(_matched(counts, log_state) + log_share), prior, axes=1)

    strength = strengths[0]
    if len(strengths) > 1:
        is_odd = np.arange(n_queries) % 2
        few = slice(None, None, ceil(len(cells.rows) / _MOST_FOLDED))  # enough to tell, where there are many candidates
        halves = [cell_counts(cells, classes * (is_odd == half)[:, None])[few] for half in (0, 1)]
        folds = [(half, centre(half), unseen) for half, unseen in (halves, halves[::-1])]

        def predictive(strength: float) -> float:
            fitted = [(shrunk(seen, likelihoods, prior, strength), unseen) for seen, prior, unseen in folds]
            return sum(float((unseen * np.log(np.maximum(own @ likelihoods.T, _TINY))).sum()) for own, unseen in fitted)

        strength = max(strengths, key=predictive)
    counts = cell_counts(cells, classes)
    own = _averaged(counts, likelihoods, shrunk(counts, likelihoods, centre(counts), strength))
    mixed = np.einsum("q,rqg->rg", classes.mean(axis=0), own)
    return Fit(cells, strength, classes, prior, log_share, log_state, mixed)


def fit_pooled(cells: Cells) -> Fit:
    """Give every candidate the one prior of all cells, without kinds, classes or weights of its own."""
    n_queries = int(cells.queries.max()) + 1
    classes = np.ones((n_queries, 1))
    prior = pooled_weights(cells)[None, None]  # (1, 1, G)
    counts = cell_counts(cells, classes)
    own = _averaged(counts, cells.likelihoods, np.broadcast_to(prior[0], (len(counts), 1, prior.shape[-1])))
    log_state = np.log(np.maximum(prior @ cells.likelihoods.T, _TINY))
    return Fit(cells, np.inf, classes, prior, np.zeros(1), log_state, own[:, 0])


def _matched(counts: FloatArray, log_state: FloatArray) -> FloatArray:
    """Return the log likelihood of counts (R, Q, U) under every prior (L, Q, U), shape (R, L)."""
    matched: FloatArray = counts.reshape(len(counts), -1) @ log_state.reshape(len(log_state), -1).T
    return matched


def _averaged(counts: FloatArray, likelihoods: FloatArray, own: FloatArray) -> FloatArray:
    """Return the weights averaged over the posteriors of the cells, shape (..., G); where there are few, those of the prior."""
    averaged: FloatArray = (step(own, counts, likelihoods) + _KEPT * own) / (counts.sum(axis=-1, keepdims=True) + _KEPT)
    return averaged
