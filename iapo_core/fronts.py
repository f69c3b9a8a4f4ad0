"""Pareto fronts of cost against quality, their knee and their hypervolume (moocore does the geometry)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from iapo_core.arms import BoolArray, FloatArray, IntArray


def pareto_mask(cost: FloatArray, *qualities: FloatArray) -> BoolArray:
    """Mark the points that no other point beats: cost low, every quality high; nan is never on the front.

    Of equal points all are kept.

    Args:
        cost: Shape (M,).
        *qualities: Each of shape (M,).

    Returns:
        Shape (M,).
    """
    import moocore

    points = np.column_stack([cost, *(-np.asarray(q, dtype=float) for q in qualities)])
    usable = np.isfinite(points).all(axis=1)
    mask = np.zeros(len(points), dtype=bool)
    if usable.any():
        mask[usable] = moocore.is_nondominated(points[usable], keep_weakly=True)
    return mask


def pareto_front(cost: FloatArray, quality: FloatArray) -> IntArray:
    """Return the rows on the front, sorted by cost; one row per point where points coincide."""
    rows = np.flatnonzero(pareto_mask(cost, quality))
    rows = rows[np.lexsort((rows, cost[rows]))]
    keep = np.r_[True, (np.diff(cost[rows]) != 0) | (np.diff(quality[rows]) != 0)][: len(rows)]
    front: IntArray = rows[keep]
    return front


def knee(cost: FloatArray, quality: FloatArray) -> int:
    """Return the position on a sorted front that lies farthest above the line between its ends (both axes scaled to 1).

    Beyond it more cost buys less quality than before it. The last position where the front has fewer than three points.
    """
    if len(cost) < 3:
        return len(cost) - 1
    x = (cost - cost[0]) / (cost[-1] - cost[0] or 1.0)
    y = (quality - quality[0]) / (quality[-1] - quality[0] or 1.0)
    return int(np.argmax(y - x))


def hypervolume(cost: FloatArray, quality: FloatArray, *, reference: tuple[float, float]) -> float:
    """Return the area that the points dominate, up to the reference (highest cost, lowest quality)."""
    import moocore

    points = np.column_stack([cost, -np.asarray(quality, dtype=float)])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return 0.0
    return float(moocore.hypervolume(points, ref=[reference[0], -reference[1]]))


class Ribbon(NamedTuple):
    """What is reachable at each cost limit, and by whom."""

    limits: FloatArray  # (L,) cost per query
    quality: FloatArray  # (L,) best reachable, nan where nothing fits the limit
    candidates: IntArray  # (L,) row of the winner, -1 where nothing fits
    scales: IntArray  # (L,) its N, 0 where nothing fits


def dominance_ribbon(cost: FloatArray, quality: FloatArray, limits: FloatArray) -> Ribbon:
    """Return the best arm within each cost limit (the shape of the paper's Figure 2a).

    Args:
        cost: Cost per query of each arm, shape (P, N).
        quality: Reward before cost, nan where unsampled, shape (P, N).
        limits: Cost limits in rising order, shape (L,).
    """
    n_max = cost.shape[1]
    flat_cost, flat_quality = cost.ravel(), np.where(np.isnan(quality), -np.inf, quality).ravel()
    order = np.argsort(flat_cost, kind="stable")
    ranked = flat_quality[order]
    running = np.maximum.accumulate(ranked)
    is_record = np.r_[True, ranked[1:] > running[:-1]]
    leader = np.maximum.accumulate(np.where(is_record, np.arange(len(order)), 0))
    n_within = np.searchsorted(flat_cost[order], limits, side="right")
    last = leader[np.maximum(n_within - 1, 0)]
    is_reachable = (n_within > 0) & np.isfinite(ranked[last])
    arms = order[last]
    return Ribbon(
        limits,
        np.where(is_reachable, ranked[last], np.nan),
        np.where(is_reachable, arms // n_max, -1),
        np.where(is_reachable, arms % n_max + 1, 0),
    )
