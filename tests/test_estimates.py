"""Unbiasedness, pooling and the coverage of intervals."""

import numpy as np
import pytest

from iapo_core.arms import Contexts
from iapo_core.environment import Outcomes, Pulls
from iapo_core.errors import ContextError
from iapo_core.estimates import Estimates
from iapo_core.evaluate import judge, score_queries, score_run
from iapo_core.intervals import of_differences, of_means, t_quantile
from iapo_core.observations import observe
from iapo_core.optimize import optimize
from tests.conftest import outcomes_environment, votes_environment

ONE = Contexts(("one",), np.ones((1, 1)), np.zeros(1))


def test_pooled_means_are_means_over_pulls():
    estimates = Estimates(2, 2, ONE, "majority_vote")
    costs = np.full((2, 2), 0.5)
    estimates.add(Pulls(np.array([0, 0]), np.array([0, 1]), np.array([2, 2])),
                  Outcomes(costs=costs, answers=np.array([[0, 0], [0, 1]]), gold=np.array([0, 0])))  # fmt: skip
    estimates.add(Pulls(np.array([0]), np.array([2]), np.array([1])),
                  Outcomes(costs=costs[:1, :1], answers=np.array([[1]]), gold=np.array([0])))  # fmt: skip
    np.testing.assert_allclose(estimates.reward[0, 0], [(1 + 0.5 + 0) / 3, (1 + 0.5) / 2])
    assert np.isnan(estimates.reward[0, 1]).all()
    assert estimates.n_queries().tolist() == [[3, 2], [0, 0]]
    assert estimates.mean_costs[0] == pytest.approx(0.5)
    value = estimates.interval(0, 0, 1)
    ends = of_means(np.array([1, 0.5, 0]), 0.0, 1.0)
    assert (value.low, value.high) == (pytest.approx(ends.low), pytest.approx(ends.high))


def test_intervals_count_queries_not_completions():
    estimates = Estimates(1, 1, ONE, "majority_vote")
    queries = np.repeat([0, 1, 2], 50)
    answers = np.repeat([0, 0, 1], 50)[:, None]
    estimates.add(Pulls(np.zeros(150, dtype=int), queries, np.ones(150, dtype=int)),
                  Outcomes(costs=np.zeros((150, 1)), answers=answers, gold=np.zeros(150, dtype=int)))  # fmt: skip
    interval = estimates.interval(0, 0, 1)
    assert interval.n_queries == 3
    ends = of_means(np.array([1.0, 1.0, 0.0]), 0.0, 1.0)
    assert (interval.low, interval.high) == (pytest.approx(ends.low), pytest.approx(ends.high))
    assert estimates.half_width()[0, 0, 0] == pytest.approx(max(interval.value - ends.low, ends.high - interval.value))


def test_queries_of_unequal_weight_give_an_unbiased_variance():
    """Pulls per query 4, 1, 1 and cost that differs: the plain sums, query by query."""
    contexts = Contexts(("dear",), np.ones((1, 1)), np.array([0.5]))
    estimates = Estimates(1, 1, contexts, "best_of_n")
    queries = np.array([0, 0, 0, 0, 1, 2])
    scores, costs = np.array([0.2, 0.4, 0.6, 0.8, 0.1, 0.9]), np.array([1.0, 1.0, 1.0, 1.0, 2.0, 3.0])
    for half in (slice(0, 3), slice(3, 6)):  # in two batches, so that the first query is met again
        estimates.add(Pulls(np.zeros(3, dtype=int), queries[half], np.ones(3, dtype=int)),
                      Outcomes(costs=costs[half, None], objectives=scores[half, None, None]))  # fmt: skip
    value = np.array([0.5 - 0.5, 0.1 - 1.0, 0.9 - 1.5])  # mean score less half of the cost
    w = np.array([4, 1, 1]) / 6
    mean, second = w @ value, (w**2).sum()
    variance = (w**2 * (value - mean) ** 2).sum() / (w**2 * (1 - 2 * w + second)).sum()
    half = float(t_quantile(np.asarray(1 / second - 1))) * np.sqrt(variance * second)
    interval = estimates.interval(0, 0, 1)
    assert interval.value == pytest.approx(mean)
    assert (interval.low, interval.high) == (pytest.approx(mean - half, rel=1e-5), pytest.approx(mean + half, rel=1e-5))


@pytest.mark.parametrize("make", [votes_environment, outcomes_environment])
def test_intervals_cover_the_truth_as_often_as_they_say(make):
    """Independent queries from a large pool; 95 % intervals must cover 93 to 97 % of the true means."""
    environment = make(n_candidates=3, n_queries=4000, n_max=4)
    truth = environment.q_values(environment.split.train)
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        queries = rng.choice(environment.split.train, 40)
        pulls = Pulls(np.repeat(np.arange(3), 40), np.tile(queries, 3), np.full(120, 4))
        estimates = Estimates(3, 4, environment.contexts, environment.strategy)
        estimates.add(pulls, environment.pull(pulls))
        errors = np.abs(estimates.q() - truth)
        covered.extend(errors[c] <= estimates.half_width(c) for c in range(len(environment.contexts)))
    assert 0.93 <= np.mean(covered) <= 0.97


def test_a_replayed_run_scores_any_weights_without_a_call():
    environment = outcomes_environment()
    observed = observe(environment, budget=600, seed=1)
    drawn = sum(pulls.n_completions for pulls, _ in observed.batches)
    assert drawn == optimize(environment, budget=600, seed=1).spent
    other = Contexts(("mine",), np.array([[0.5, 0.5]]), np.array([0.3]))
    scores = score_run(observed, other)
    assert scores.q.shape == (1, 4, 8)
    assert scores.source == "train"
    first = observe(environment, n_events=4, budget=600, seed=1)
    assert sum(p.n_completions for p, _ in first.batches) < drawn


def test_heldout_scores_are_exact_and_judged_by_paired_queries():
    environment = votes_environment(n_queries=100)
    scores = score_queries(environment, environment.split.heldout, environment.contexts)
    np.testing.assert_allclose(scores.q, environment.q_values(environment.split.heldout))
    assert scores.is_exact
    for c, verdict in enumerate(judge(scores)):
        p = environment.candidates.index(verdict.pick.candidate)
        assert verdict.value == pytest.approx(scores.q[c].max())
        rp = environment.candidates.index(verdict.runner_up.candidate)
        assert rp != p
        curves = environment.reward_curves(environment.split.heldout, environment.contexts.distinct)[0]
        difference = curves[p, :, verdict.pick.n - 1] - curves[rp, :, verdict.runner_up.n - 1]
        ends = of_differences(difference, 1.0)
        paid = difference.mean() - verdict.margin
        assert (verdict.margin_low, verdict.margin_high) == (pytest.approx(ends.low - paid), pytest.approx(ends.high - paid))
        is_tie = verdict.margin <= 0.1 * (verdict.margin - verdict.margin_low)
        assert verdict.verdict == ("tie" if is_tie else "clear" if verdict.margin_low > 0 else "close")


def test_objective_means_are_each_objective_alone():
    environment = outcomes_environment()
    scores = score_queries(environment, environment.split.train, environment.contexts)
    for k in range(2):
        alone = environment.reward_curves(environment.split.train, np.eye(2)[[k]])[0].mean(axis=1)
        np.testing.assert_allclose(scores.objective_means[k], alone)


def test_contexts_refuse_what_cannot_be_weighed():
    with pytest.raises(ContextError, match="'b' has a weight that is negative or not a number"):
        Contexts(("a", "b"), np.array([[1.0], [np.nan]]), np.zeros(2))
    with pytest.raises(ContextError, match="weighs nothing"):
        Contexts(("a",), np.zeros((1, 1)), np.zeros(1))
    with pytest.raises(ContextError, match="same name"):
        Contexts(("a", "a"), np.ones((2, 1)), np.zeros(2))
    with pytest.raises(ContextError, match="no context 'z'"):
        ONE.index("z")
