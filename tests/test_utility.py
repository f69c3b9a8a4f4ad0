"""Closed forms and brute force over all subsets."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iapo_core.utility import best_of_n, expected_maximum, majority_vote, mixed, rewards, select_completion
from iapo_core.votes import known_credit


def credit(answers, gold) -> float:
    cast = [a for a in answers if a >= 0]
    if not cast:
        return 0.0
    top = max(cast.count(a) for a in set(cast))
    winners = [a for a in set(cast) if cast.count(a) == top]
    return (gold in winners) / len(winners)


def mean_over_subsets(values, k, f) -> float:
    return float(np.mean([f(subset) for subset in combinations(values, k)]))


@settings(deadline=None, max_examples=60)
@given(answers=st.lists(st.integers(-1, 4), min_size=1, max_size=8), gold=st.integers(-1, 5))
def test_vote_credit_is_the_mean_over_all_subsets(answers, gold):
    got = majority_vote(np.array([answers]), np.array([gold]))[0]
    want = [mean_over_subsets(answers, k, lambda s: credit(s, gold)) for k in range(1, len(answers) + 1)]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(answers=st.lists(st.integers(-1, 4), min_size=1, max_size=8), gold=st.integers(-1, 5))
def test_block_credit_is_the_mean_over_disjoint_blocks(answers, gold):
    n = len(answers)
    got = majority_vote(np.array([answers]), np.array([gold]), "blocks")[0]
    want = [np.mean([credit(answers[b * k : b * k + k], gold) for b in range(n // k)]) for k in range(1, n + 1)]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(arrays(float, st.integers(1, 8), elements=st.floats(-5, 5)))
def test_best_of_n_is_the_mean_over_all_subsets(values):
    want = [mean_over_subsets(values, k, max) for k in range(1, len(values) + 1)]
    np.testing.assert_allclose(best_of_n(values), want, rtol=0, atol=1e-12)


def test_the_worked_example_of_joint_choice():
    """Prompt A: 0.4 on half of the queries, 0.9 on the rest; prompt B: 0.62 everywhere; two answers, fair tie breaks."""
    right = np.array([0.4, 0.9, 0.62])
    curves = known_credit(right, 1 - right[:, None], 10)
    a, b = curves[:2].mean(axis=0), curves[2]
    assert a[0] == pytest.approx(0.65, abs=1e-12)
    assert b[0] == pytest.approx(0.62, abs=1e-12)
    assert a[9] == pytest.approx(0.633, abs=5e-4)
    assert b[9] == pytest.approx(0.774, abs=5e-4)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.62, 0.99])
def test_two_answers_have_the_binomial_closed_form(p):
    curve = known_credit(np.array([p]), np.array([[1 - p]]), 12)[0]
    for k in range(1, 13):
        terms = [comb(k, v) * p**v * (1 - p) ** (k - v) * (1.0 if 2 * v > k else 0.5 * (2 * v == k)) for v in range(k + 1)]
        assert curve[k - 1] == pytest.approx(sum(terms), abs=1e-12)
    np.testing.assert_allclose(curve[1::2], curve[0::2], atol=1e-12)  # credit(2j) = credit(2j - 1)


def test_two_votes_have_exactly_the_credit_of_one():
    shares = np.random.default_rng(0).dirichlet(np.ones(5), 50)
    curve = known_credit(shares[:, 0], shares[:, 1:], 4)
    np.testing.assert_allclose(curve[:, 1], curve[:, 0], atol=1e-12)


def test_known_credit_agrees_with_enumeration_of_all_answers():
    p = np.array([0.45, 0.3, 0.15])  # the missing 0.1 votes for nothing
    curve = known_credit(p[:1], p[None, 1:], 5)[0]
    full = np.append(p, 0.1)
    for k in range(1, 6):
        want = sum(
            np.prod(full[list(draw)]) * credit([a if a < 3 else -1 for a in draw], 0) for draw in product(range(4), repeat=k)
        )
        assert curve[k - 1] == pytest.approx(want, abs=1e-12)


def test_large_scales_neither_overflow_nor_lose_the_limit():
    curve = known_credit(np.array([0.6, 0.4]), np.array([[0.4], [0.6]]), 256)
    assert np.isfinite(curve).all()
    np.testing.assert_allclose(curve.sum(axis=0), 1.0, atol=1e-10)  # one of the two answers wins
    assert curve[0, -1] > 0.999


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_expected_maximum_agrees_with_enumeration(n_points, k, seed):
    rng = np.random.default_rng(seed)
    values, probabilities = rng.integers(0, 4, n_points).astype(float), rng.dirichlet(np.ones(n_points))
    want = sum(np.prod(probabilities[list(d)]) * max(values[list(d)]) for d in product(range(n_points), repeat=min(k, 5)))
    assert expected_maximum(values, probabilities, min(k, 5))[-1] == pytest.approx(want, abs=1e-12)


def test_mixed_votes_for_correctness_and_keeps_the_best_style_of_the_winner():
    answers, gold = np.array([[0, 0, 1, 1, 1, 0]]), np.array([1])
    style = np.array([[[0.9, 0.1, 0.2, 0.6, 0.3, 0.8]]])  # (M, W, n)
    reward = mixed(answers, gold, style, np.array([2.0]))[0, 0]
    assert reward[0] == pytest.approx(2.0 * 0.5 + style.mean())
    assert reward[2] == pytest.approx((2.0 * 0 + 0.9 + 2.0 * 1 + 0.6) / 2)  # blocks (0,0,1) and (1,1,0)
    assert reward[5] == pytest.approx(2.0 * 0.5 + (0.9 + 0.6) / 2)  # a tie of three and three


def test_mixed_without_any_vote_keeps_the_best_completion():
    reward = mixed(np.full((1, 2), -1), np.array([0]), np.array([[[0.2, 0.7]]]), np.array([1.0]))
    assert reward[0, 0].tolist() == pytest.approx([0.45, 0.7])


def test_rewards_weigh_objectives_before_the_maximum():
    objectives = np.array([[[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]]])
    weights = np.array([[1.0, 0.0], [0.5, 0.5]])
    reward = rewards("best_of_n", weights, objectives, None, None)
    assert reward[0, 0, 2] == pytest.approx(1.0)
    assert reward[0, 1, 2] == pytest.approx(0.6)
    blocks = rewards("best_of_n", weights, objectives, None, None, "blocks")
    np.testing.assert_allclose(blocks[..., [0, 2]], reward[..., [0, 2]])


def test_select_completion_agrees_with_the_definitions():
    assert select_completion("best_of_n", [0.5, 0.5], None, [[1, 0], [0.6, 0.6], [0, 1]]) == 1
    assert select_completion("majority_vote", [1.0], ["b", "a", None, "a"], None) == 1
    assert select_completion("mixed", [1.0, 1.0], ["b", "a", None, "a"], [[0, 9], [1, 1], [0, 9], [1, 2]]) == 3
    assert select_completion("majority_vote", [1.0], [None, None], None) == 0
