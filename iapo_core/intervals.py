"""95 % intervals of a mean over few queries whose values lie in a known range.

Student's t says too little where scores crowd at an end of their range: six queries that are all answered have no spread, and the
seventh may fail. Three things repair that. Wilson's inversion (1927) lets the variance change with the mean that is tried, scaled
to the spread that was seen, as surveys do with effective sample sizes (Kott and Carr, 1997). A share of imagined queries stands at
both ends of the range, in the manner of Agresti and Coull (1998), but only in proportion to the queries that lie at an end or
agree, because only those say nothing of what was not seen. And Student's quantile replaces the normal one, the less the more values are
coins. Values spread over the middle of the range get the plain t interval. What is covered is the mean over the population which
the queries are a sample of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from iapo_core.arms import BoolArray, FloatArray

# Chosen on populations of 6 to 60 queries: synthetic ones, the recorded tasks, and MATH.
_IMAGINED = 0.3  # queries at each end of the range where all say nothing
_BEYOND = 1.5  # times the largest difference seen
_AT_END = 0.05  # of the range
_TIED = 0.002  # of the range of one value
_NO_SPREAD = 1e-12
_NORMAL = 1.959963984540054


class Ends(NamedTuple):
    """Lower and upper end of an interval, arrays of one shape; nan below two queries."""

    low: FloatArray
    high: FloatArray


def t_quantile(df: FloatArray) -> FloatArray:
    """Return Student's t quantile at 0.975, within 1e-3 of the exact value for whole degrees of freedom.

    Exact for 1 to 4, between them linear in 1 / df, which is never too low; from 5 on the Cornish-Fisher expansion in 1 / df
    (Abramowitz and Stegun 26.7.5).
    """
    z = _NORMAL
    d = np.maximum(np.asarray(df, dtype=float), 1.0)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    series = z + g1 / d + g2 / d**2 + g3 / d**3 + g4 / d**4
    exact = [2.570581835636314, 2.7764451051977987, 3.182446305284263, 4.302652729911275, 12.706204736432095]  # df 5 to 1
    quantile: FloatArray = np.where(d < 5, np.interp(1 / d, [1 / 5, 1 / 4, 1 / 3, 1 / 2, 1], exact), series)
    return quantile


def mean_of_drawn(values: FloatArray, axis: int) -> FloatArray:
    """Return the mean over what is there, nan where nothing is; nan marks what was not drawn."""
    is_drawn = ~np.isnan(values)
    mean: FloatArray = np.where(is_drawn, values, 0.0).sum(axis=axis) / np.where(n := is_drawn.sum(axis=axis), n, np.nan)
    return mean


def at_end(values: FloatArray, low: FloatArray | float, high: FloatArray | float) -> FloatArray:
    """Return 1 where a value lies at an end of its range, else 0; shape as given."""
    reach = _AT_END * (np.asarray(high) - low)
    is_there: BoolArray = (values - low <= reach) | (high - values <= reach)
    return is_there.astype(float)


def bounded(
    mean: FloatArray,
    variance: FloatArray,
    n: FloatArray,
    silent: FloatArray,
    low: FloatArray | float,
    high: FloatArray | float,
) -> Ends:
    """Return the interval of a mean; all arguments broadcast.

    Args:
        mean: Of the values seen.
        variance: Their unbiased variance over queries.
        n: Queries; of unequal weights w the effective number 1 / sum w^2.
        silent: Share of the queries that say nothing of what was not seen.
        low: Lowest possible value, -inf where the range is unknown.
        high: Highest possible value.
    """
    n = np.asarray(n, dtype=float)
    t = t_quantile(n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = t * np.sqrt(variance / n)
        width = np.asarray(np.subtract(high, low), dtype=float)
        has_range = np.isfinite(width) & (width > 0)
        width = np.where(has_range, width, 1.0)
        m = np.clip(np.where(has_range, (mean - low) / width, 0.5), 0.0, 1.0)
        spread = np.asarray(variance / width**2)
        a = _IMAGINED * np.where(spread <= _NO_SPREAD, 1.0, silent)
        total = n + 2 * a
        centre = (n * m + a) / total
        spread = ((n - 1) * spread + n * m * m + a - total * centre**2) / (total - 1)
        coin = centre * (1 - centre)  # the variance of values at the ends alone: no values in the range have more
        likeness = np.clip(np.where(coin > 0, spread / np.where(coin > 0, coin, 1.0), 1.0), 0.0, 1.0)  # to coins, 1
        # A coin's variance follows from its mean: nothing is estimated beside, so the normal quantile does.
        q = (likeness * _NORMAL**2 + (1 - likeness) * t**2) * likeness / total
        middle, half = (centre + q / 2) / (1 + q), np.sqrt(q * coin + q * q / 4) / (1 + q)
        ends = (
            np.where(has_range, low + width * (middle - half), mean - plain),
            np.where(has_range, low + width * (middle + half), mean + plain),
        )
        known = (n > 1) & np.isfinite(mean)
    return Ends(np.where(known, np.minimum(ends[0], mean), np.nan), np.where(known, np.maximum(ends[1], mean), np.nan))


def of_means(values: FloatArray, low: FloatArray | float, high: FloatArray | float) -> Ends:
    """Return the interval of the mean over the queries drawn (not nan), the last axis; low and high as the other axes."""
    low, high = np.asarray(low), np.asarray(high)
    silent = np.where(np.isnan(values), np.nan, at_end(values, low[..., None], high[..., None]))
    return _of_values(values, silent, low, high)


def of_differences(values: FloatArray, widest: FloatArray | float) -> Ends:
    """Return the interval of the mean difference of two arms over the same queries, the last axis.

    Two arms seldom differ by all that their range allows: differences are taken to lie within one and a half times the largest that
    was seen, and within the whole range only where none was. Queries on which the arms agree are the silent ones.

    Args:
        values: Difference per query, nan where one of the two was not drawn, shape (..., X').
        widest: Range of one arm's values, so that differences lie in [-widest, widest]; as the other axes.
    """
    widest, size = np.asarray(widest), np.abs(values)
    silent = np.where(np.isnan(values), np.nan, size <= _TIED * widest[..., None])
    largest = np.nan_to_num(size).max(axis=-1)
    reach = np.where(largest > _TIED * widest, np.minimum(_BEYOND * largest, widest), widest)
    return _of_values(values, silent, -reach, reach)


def _of_values(values: FloatArray, silent: FloatArray, low: FloatArray, high: FloatArray) -> Ends:
    n = (~np.isnan(values)).sum(axis=-1).astype(float)
    mean = mean_of_drawn(values, -1)
    squares = np.nan_to_num(values - mean[..., None]) ** 2
    variance = squares.sum(axis=-1) / np.where(n > 1, n - 1, np.nan)
    return bounded(mean, variance, n, mean_of_drawn(silent, -1), low, high)


def half_width(mean: FloatArray, ends: Ends) -> FloatArray:
    """Return the distance to the farther end, for charts that draw mean plus or minus one number."""
    return np.maximum(ends.high - mean, mean - ends.low)
