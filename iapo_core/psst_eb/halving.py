"""Halving of candidates per context: the set that is expected to hold the best arm, filled up by the best Q over N."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np

from iapo_core.arms import FloatArray, Grid, IntArray
from iapo_core.psst_eb.beliefs import Beliefs

_BLOCK = 2**17  # values of Q in memory at once
_NOTHING = 1e-9


class Standing(NamedTuple):
    """How the m candidates that each context still has stand; -inf where one was never pulled."""

    best: FloatArray  # (C, m), highest Q over N
    scale: IntArray  # (C, m), the N of it; ties at random
    least: FloatArray  # (C, m), lowest Q over N, inf where never pulled


def standing(grid: Grid, beliefs: Beliefs, rows: IntArray, rng: np.random.Generator) -> Standing:
    """Look up Q of candidates `rows`, shape (C, m), over all N."""
    contexts, costs = grid.contexts, beliefs.mean_costs
    scales = rng.permutation(grid.n_max) + 1  # of equal values the first in this order wins
    reward = beliefs.reward[..., scales - 1]  # (W, P, N)
    is_known = ~np.isnan(reward)
    reward = np.where(is_known, reward, -np.inf)
    best, least, scale = np.empty(rows.shape), np.empty(rows.shape), np.empty(rows.shape, dtype=int)
    step = max(_BLOCK // (rows.shape[1] * grid.n_max), 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        price = contexts.cost_weights[part, None] * np.nan_to_num(costs[rows[part]])  # (c, m)
        which = contexts.which[part, None], rows[part]
        q = reward[which]  # (c, m, N)
        q -= price[..., None] * scales
        chosen = q.argmax(axis=2)
        best[part] = np.take_along_axis(q, chosen[..., None], axis=2)[..., 0]
        scale[part] = scales[chosen]
        least[part] = q.min(axis=2, where=is_known[which], initial=np.inf) if not is_known.all() else q.min(axis=2)
    return Standing(best, scale, least)


def merits(grid: Grid, beliefs: Beliefs, rows: IntArray, n_kept: int) -> FloatArray:
    """Return how much each candidate belongs to the best set of n_kept, shape (C, m): more is better, 0 adds nothing.

    The set grows by the candidate that adds most to the expected best of the set over resamples of the queries. All candidates
    meet the same hard and easy queries in a resample, so a batch that flatters one kind of candidate flatters all of that kind at
    once. By estimates alone it could push out every other kind; here a second of a kind adds little, and one that is best where
    that kind is not adds much. Nemhauser, Wolsey and Fisher (1978): greedy sets are near the best ones.
    """
    result = np.zeros(rows.shape)
    known = beliefs.resamples
    if known is None:
        return result
    contexts = grid.contexts
    place = np.full(len(grid.candidates), -1)
    place[known.candidates] = np.arange(len(known.candidates))
    cost = beliefs.mean_costs[known.candidates] * known.scales[:, None]  # (K, r)
    for c, (weight, cost_weight) in enumerate(zip(contexts.distinct[contexts.which, 0], contexts.cost_weights, strict=True)):
        seen = np.flatnonzero(place[rows[c]] >= 0)
        mine = place[rows[c, seen]]
        value = (weight * known.credit[:, :, mine] - cost_weight * cost[:, None, mine]).max(axis=0)  # (B, m')
        so_far = np.full((len(value), 1), -np.inf)
        for rank in range(min(n_kept, len(seen))):
            expected = np.maximum(value, so_far).mean(axis=0)
            added = int(expected.argmax())
            if rank and expected[added] - so_far.mean() < _NOTHING:
                break
            result[c, seen[added]] = n_kept - rank
            so_far = np.maximum(so_far, value[:, added : added + 1])
    return result


def halved(best: FloatArray, merit: FloatArray, rng: np.random.Generator) -> IntArray:
    """Keep the half of each context's candidates with the most merit, among equal merit the best Q; ties at random.

    Args:
        best: Best Q of each candidate, shape (C, m).
        merit: Their merit, shape (C, m).
        rng: Breaks ties.

    Returns:
        Columns, rising, shape (C, ceil(m / 2)).
    """
    shuffled = rng.permutation(best.shape[1])
    value = -best[:, shuffled]
    is_known = merit.any()
    order = np.lexsort((value, -merit[:, shuffled]), axis=-1) if is_known else np.argsort(value, axis=-1, kind="stable")
    columns: IntArray = np.sort(shuffled[order[:, : half(best.shape[1])]], axis=1)
    return columns


def half(m: int) -> int:
    """Return how many of m candidates stay."""
    return ceil(m / 2)
