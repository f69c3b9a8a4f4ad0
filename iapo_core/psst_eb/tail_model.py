"""Best-of-N beyond the completions at hand: expected maxima of pooled residuals, matched to what was observed.

For k <= n the order-statistic estimate stands. Beyond n, one candidate's residuals around its cell means (scaled by
sqrt(n / (n - 1))) form an empirical distribution; the growth of its expected maximum gives the increments, rescaled so that
growth up to n agrees with the observed one. Cells of several depths are averaged by their number; the shallow ones grow as
the deepest did.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from iapo_core.arms import FloatArray
from iapo_core.utility import Method, best_of_n, block_maxima


def extended_maxima(cells: Sequence[FloatArray], n_max: int, method: Method = "subsets") -> FloatArray:
    """Estimate E[max of k] for k = 1..n_max from one candidate's cells.

    Args:
        cells: One array per depth n, utilities of shape (cells, W, n).
        n_max: Largest scale.
        method: How the subsets of a cell are used.

    Returns:
        Shape (W, n_max).
    """
    maxima = best_of_n if method == "subsets" else block_maxima
    groups = sorted((group for group in cells if len(group)), key=lambda group: group.shape[2])
    residuals = np.concatenate(
        [_residuals(group) for group in groups if group.shape[2] > 1] or [np.zeros((groups[0].shape[1], 1))], axis=1
    )
    tail = _expected_maxima(residuals, n_max)  # (W, N)
    deepest = _extended(maxima(groups[-1]).mean(axis=0), tail, n_max)
    n_cells = np.array([len(group) for group in groups], dtype=float)
    curves = []
    for group in groups[:-1]:
        depth = min(group.shape[2], n_max)
        curve = np.empty_like(deepest)
        curve[:, :depth] = maxima(group).mean(axis=0)[:, :depth]
        curve[:, depth:] = curve[:, depth - 1 : depth] + deepest[:, depth:] - deepest[:, depth - 1 : depth]
        curves.append(curve)
    shares = n_cells / n_cells.sum()
    mean: FloatArray = np.einsum("g,gwn->wn", shares, np.stack([*curves, deepest]))
    return mean


def _residuals(group: FloatArray) -> FloatArray:
    """Return the residuals around the cell means, without their shrinkage, shape (W, cells n)."""
    n = group.shape[2]
    residuals = (group - group.mean(axis=2, keepdims=True)) * np.sqrt(n / (n - 1))
    flat: FloatArray = np.moveaxis(residuals, 1, 0).reshape(group.shape[1], -1)
    return flat


def _expected_maxima(values: FloatArray, n_max: int) -> FloatArray:
    """Return the expected maximum of k draws with replacement, shape (W, N): weights (i/m)^k - ((i-1)/m)^k."""
    ranked = np.sort(values, axis=1)
    below = np.arange(ranked.shape[1] + 1) / ranked.shape[1]
    weights = np.diff(below[:, None] ** np.arange(1, n_max + 1), axis=0)  # (m, N)
    maxima: FloatArray = ranked @ weights
    return maxima


def _extended(seen: FloatArray, tail: FloatArray, n_max: int) -> FloatArray:
    depth = min(seen.shape[1], n_max)
    curve = np.empty_like(tail)
    curve[:, :depth] = seen[:, :depth]
    if depth < n_max:
        reach = tail[:, depth - 1]
        grown = seen[:, depth - 1] - seen[:, 0]
        ratio = np.where(reach > 0, grown / np.where(reach > 0, reach, 1.0), 0.0) if depth > 1 else np.ones_like(grown)
        curve[:, depth:] = seen[:, depth - 1 : depth] + ratio[:, None] * (tail[:, depth:] - reach[:, None])
    return curve
