"""Kinds of candidates and classes of queries, fitted to each other by EM: a latent block model (Govaert and Nadif 2003).

Each block, a kind on a class, has weights of the vote types; a candidate is one of the kinds, moved by a shift. Kinds are added one
by one. The posterior of kinds and that of classes are taken as independent given the data (the variational step of the model).
"""

from __future__ import annotations

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.psst_eb.vote_cells import Cells
from iapo_core.psst_eb.vote_types import Shifts

_POOLED_STEPS, _OWN_STEPS = 40, 12
_STEPS, _LAST_STEPS = 3, 9  # of EM, per kind and with all kinds
_SCATTERED = 0.1  # share of a query's class that is open at the start
_TINY = 1e-300


def pooled_weights(cells: Cells) -> FloatArray:
    """Return the weights of the types that all cells together are likeliest under, shape (G,)."""
    likelihoods = cells.likelihoods
    total = np.bincount(cells.states, minlength=len(likelihoods)).astype(float)
    weights = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
    for _ in range(_POOLED_STEPS):
        weights = step(weights, total, likelihoods)
        weights /= weights.sum()
    return weights


def first_classes(cells: Cells, pooled: FloatArray, n_classes: int) -> FloatArray:
    """Cut the queries by how much better than elsewhere the candidates were on them, shape (X, Q)."""
    posterior = pooled * cells.likelihoods
    right = (posterior @ np.exp(cells.types.log_gold) / posterior.sum(axis=1))[cells.states]
    usual = np.bincount(cells.candidates, right) / np.bincount(cells.candidates)
    easier = np.bincount(cells.queries, right - usual[cells.candidates]) / (np.bincount(cells.queries) + 1)
    rank = np.argsort(np.argsort(easier, kind="stable"), kind="stable")
    classes = np.full((len(rank), n_classes), _SCATTERED / n_classes)
    classes[np.arange(len(rank)), rank * n_classes // len(rank)] += 1 - _SCATTERED
    return classes


def fitted_blocks(
    cells: Cells, moves: Shifts, pooled: FloatArray, classes: FloatArray, n_kinds: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit kinds (K, Q, G), the log share of every kind and shift (K, A), and the classes of the queries (X, Q)."""
    n_classes, n_shifts, n_types = classes.shape[1], len(moves.low), len(pooled)
    shifted = moves.likelihoods(cells.likelihoods).reshape(-1, n_types)  # (A U, G)
    counts = cell_counts(cells, classes)
    kinds = np.broadcast_to(pooled, (1, n_classes, n_types))
    log_share = np.full((1, n_shifts), -np.log(n_shifts))
    own = shrunk(counts, cells.likelihoods, np.broadcast_to(pooled, (*counts.shape[:2], n_types)), 1.0, _STEPS)
    own_fit = (counts * np.log(np.maximum(own @ cells.likelihoods.T, _TINY))).sum(axis=(1, 2))  # (R,)

    def log_states() -> FloatArray:
        p = (kinds.reshape(-1, n_types) @ shifted.T).reshape(len(kinds), n_classes, n_shifts, -1)
        return np.log(np.maximum(p, _TINY))  # (K, Q, A, U)

    fits = np.zeros((len(cells.rows), 1, n_shifts))
    for n in range(1, n_kinds + 1):
        if n > 1:
            worst = int((own_fit - fits.max(axis=(1, 2))).argmax())
            kinds = np.concatenate([kinds, (0.8 * own[worst] + 0.2 * kinds[0])[None]])
            log_share = np.concatenate([log_share + np.log((n - 1) / n), np.full((1, n_shifts), -np.log(n * n_shifts))])
        for turn in range(1, (_STEPS if n < n_kinds else _LAST_STEPS) + 1):
            fits = np.tensordot(counts, log_states(), axes=([1, 2], [1, 3]))  # (R, K, A)
            belongs = softmax((fits + log_share).reshape(len(fits), -1)).reshape(fits.shape)
            shares = belongs.sum(axis=0) + 1 / (n * n_shifts)
            log_share = np.log(shares / shares.sum())
            total = np.tensordot(belongs, counts, axes=([0], [0])).transpose(0, 2, 1, 3).reshape(n * n_classes, -1)  # (K Q, A U)
            flat = kinds.reshape(n * n_classes, n_types)
            for _ in range(2):
                flat = step(flat, total + 1e-9, shifted)
                flat /= flat.sum(axis=1, keepdims=True)
            kinds = (0.99 * flat + 0.01 * pooled).reshape(n, n_classes, n_types)
            if n_classes > 1 and turn % 3 == 0:
                expected = np.tensordot(belongs, log_states(), axes=([1, 2], [0, 2]))  # (R, Q, U)
                scores = [np.bincount(cells.queries, expected[cells.candidates, q, cells.states]) for q in range(n_classes)]
                classes = softmax(np.log(np.maximum(classes.mean(axis=0), 1e-9)) + np.column_stack(scores))
                counts = cell_counts(cells, classes)
    return kinds, log_share, classes


def cell_counts(cells: Cells, weights: FloatArray) -> FloatArray:
    """Return how many cells of each class and state a candidate has, shape (R, Q, U); weights of queries, shape (X, Q)."""
    n_states, n_rows = len(cells.likelihoods), len(cells.rows)
    slots: IntArray = cells.candidates * n_states + cells.states
    columns = [np.bincount(slots, column[cells.queries], minlength=n_rows * n_states) for column in weights.T]
    by_state = np.stack(columns, axis=1).astype(float).reshape(n_rows, n_states, -1)
    counts: FloatArray = np.ascontiguousarray(by_state.transpose(0, 2, 1))
    return counts


def softmax(logs: FloatArray) -> FloatArray:
    """Return weights that sum to one along the last axis."""
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    shares: FloatArray = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def step(weights: FloatArray, counts: FloatArray, likelihoods: FloatArray) -> FloatArray:
    """Return the expected number of cells of each type: weights (..., G), counts (..., U), likelihoods (U, G)."""
    expected: FloatArray = weights * ((counts / np.maximum(weights @ likelihoods.T, _TINY)) @ likelihoods)
    return expected


def shrunk(
    counts: FloatArray, likelihoods: FloatArray, prior: FloatArray, strength: float, n_steps: int = _OWN_STEPS
) -> FloatArray:
    """Return own weights, `strength` cells' worth of the prior beside the counts, shape (..., G)."""
    if np.isinf(strength):
        return prior
    n_cells: FloatArray = counts.sum(axis=-1, keepdims=True)
    weights = prior
    for _ in range(n_steps):
        weights = (step(weights, counts, likelihoods) + strength * prior) / (n_cells + strength)
    return weights
