"""Intervals over few queries: closed forms at the edges, and coverage where the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from iapo_core.intervals import bounded, half_width, of_differences, of_means, t_quantile


@pytest.mark.parametrize("df", range(1, 60))
def test_t_quantiles_agree_with_scipy(df):
    assert float(t_quantile(np.asarray(df))) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-3)


@pytest.mark.parametrize("df", [1.2, 1.7, 2.5, 3.3, 4.9, 5.5, 17.2])
def test_fractional_degrees_of_freedom_are_never_cut_short(df):
    exact = stats.t.ppf(0.975, df)
    assert exact * (1 - 1e-3) <= float(t_quantile(np.asarray(df))) <= stats.t.ppf(0.975, np.floor(df)) * (1 + 1e-3)


def test_values_in_the_middle_of_a_wide_range_get_the_t_interval():
    values = np.array([4.0, 5.0, 7.0, 6.0, 5.5, 6.5, 4.5, 5.0])
    half = stats.t.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8)
    known, unknown = of_means(values, -1000.0, 1010.0), of_means(values, -np.inf, np.inf)
    assert unknown.low == pytest.approx(values.mean() - half, rel=1e-3)
    assert (known.high - known.low) / 2 == pytest.approx(half, rel=1e-2)


@pytest.mark.parametrize("n", [2, 6, 12, 40])
@pytest.mark.parametrize("value", [0.0, 0.7, 1.0])
def test_queries_that_all_score_alike_do_not_give_certainty(n, value):
    low, high = of_means(np.full(n, value), 0.0, 1.0)
    assert low <= value <= high
    if value == 1.0:  # at least as wary as Wilson's interval of n successes
        assert low <= n / (n + stats.norm.ppf(0.975) ** 2)
        assert high == pytest.approx(1.0, abs=0.02)
    else:
        assert high > value


def test_no_difference_on_any_query_is_no_proof_of_a_tie():
    low, high = of_differences(np.zeros(10), 1.0)
    assert low == pytest.approx(-high)
    assert high > 0.1


@settings(deadline=None)
@given(st.lists(st.integers(0, 16), min_size=2, max_size=30), st.floats(-5, 5), st.floats(0.1, 10))
def test_an_interval_holds_its_mean_stays_in_range_and_moves_with_the_unit(values, shift, scale):
    values = np.array(values) / 16
    low, high = of_means(values, 0.0, 1.0)
    assert -1e-9 <= low <= values.mean() <= high <= 1 + 1e-9
    moved = of_means(shift + scale * values, shift, shift + scale)
    np.testing.assert_allclose([moved.low, moved.high], [shift + scale * low, shift + scale * high], atol=1e-6)
    turned = of_means(1 - values, 0.0, 1.0)
    np.testing.assert_allclose([turned.low, turned.high], [1 - high, 1 - low], atol=1e-6)
    assert half_width(values.mean(), of_means(values, 0.0, 1.0)) == pytest.approx(max(high - values.mean(), values.mean() - low))


def test_one_query_says_nothing():
    assert np.isnan(of_means(np.array([0.5]), 0.0, 1.0)).all()
    assert np.isnan(bounded(np.asarray(0.5), np.asarray(np.nan), np.asarray(0.0), np.asarray(0.0), 0.0, 1.0)).all()


def populations():
    rng = np.random.default_rng(0)
    near_certain = np.where(rng.random(5000) < 0.85, rng.beta(30, 1, 5000), rng.beta(1, 5, 5000))
    return {
        "answered or not": (rng.random(5000) < 0.8).astype(float),
        "near certain or lost": near_certain,
        "middling": rng.beta(8, 5, 5000),
        "anything": rng.random(5000),
    }


@pytest.mark.parametrize("name", sorted(populations()))
@pytest.mark.parametrize(("n", "least"), [(6, 0.93), (12, 0.93), (40, 0.93)])
def test_few_queries_cover_the_mean_of_all(name, n, least):
    population = populations()[name]
    drawn = np.random.default_rng(1).choice(population, (20_000, n))
    low, high = of_means(drawn, 0.0, 1.0)
    covered = ((low <= population.mean()) & (population.mean() <= high)).mean()
    t_half = stats.t.ppf(0.975, n - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(n)
    assert least <= covered
    assert covered <= (0.97 if n > 12 else 0.995)
    if name == "near certain or lost" and n == 6:  # what the plain t interval misses
        assert (np.abs(drawn.mean(axis=1) - population.mean()) <= t_half).mean() < 0.80


@pytest.mark.parametrize("n", [6, 12, 20, 40])
def test_differences_that_are_mostly_ties_are_covered(n):
    rng = np.random.default_rng(2)
    population = rng.choice([0.0, 1.0, -1.0], 5000, p=[0.85, 0.1, 0.05])
    low, high = of_differences(rng.choice(population, (20_000, n)), 1.0)
    # A mean of n values in {-1, 0, 1} moves in steps, and coverage with it (Brown, Cai and DasGupta, 2001).
    assert ((low <= population.mean()) & (population.mean() <= high)).mean() >= 0.92
