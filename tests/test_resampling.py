"""Resampling the queries of a run: how often its pick comes out again, and what its own estimate flatters."""

import numpy as np
import pytest

from iapo_core.arms import Arm, Contexts
from iapo_core.environment import Outcomes, Pulls
from iapo_core.errors import ContextError, RunError
from iapo_core.evaluate import judge, score_queries, score_run
from iapo_core.observations import Observations, observe
from iapo_core.optimize import optimize
from iapo_core.resampling import Stability, pick_stability, stability_in_words, wary
from tests.conftest import outcomes_environment, votes_environment

ONE = Contexts(("one",), np.ones((1, 1)), np.zeros(1))


class Two:
    """Just enough of an environment: P prompts at N = 1, judged right or wrong."""

    strategy = "majority_vote"
    objective_ranges = np.array([[0.0, 1.0]])
    n_max = 1

    def __init__(self, n_candidates):
        self.candidates = tuple(f"p{p}" for p in range(n_candidates))


def drawn(right):
    """Every prompt on every query once; right of shape (P, X), booleans."""
    n_candidates, n_queries = right.shape
    pulls = Pulls(
        np.repeat(np.arange(n_candidates), n_queries),
        np.tile(np.arange(n_queries), n_candidates),
        np.ones(right.size, dtype=int),
    )
    outcomes = Outcomes(
        costs=np.zeros((right.size, 1)), answers=(~right).astype(int).reshape(-1, 1), gold=np.zeros(right.size, dtype=int)
    )
    return Observations(Two(n_candidates), ((pulls, outcomes),))


def test_a_pick_that_wins_on_every_query_always_comes_out_again():
    right = np.zeros((3, 12), dtype=bool)
    right[1] = True
    (found,) = pick_stability(drawn(right), ONE, [Arm("p1", 1)])
    assert (found.same_arm, found.same_candidate) == (1.0, 1.0)
    assert found.optimism == pytest.approx(0.0, abs=1e-6)
    assert "In 100% of resamples of the queries the same prompt" in found.in_words()


def test_the_shares_and_the_optimism_are_those_of_a_plain_bootstrap():
    rng = np.random.default_rng(3)
    right = rng.random((3, 15)) < np.array([[0.5], [0.6], [0.55]])
    mean = right.mean(axis=1)
    pick = int(mean.argmax())
    (found,) = pick_stability(drawn(right), ONE, [Arm(f"p{pick}", 1)], n_resamples=4000)
    chosen, excess = [], []
    for _ in range(4000):
        again = right[:, rng.integers(15, size=15)].mean(axis=1)
        chosen.append(int(again.argmax()))
        excess.append(again.max() - mean[chosen[-1]])
    assert found.same_arm == pytest.approx(np.mean(np.array(chosen) == pick), abs=0.04)
    assert found.optimism == pytest.approx(np.mean(excess), abs=0.01)


def test_all_contexts_meet_the_same_resamples_and_blocks_change_nothing(monkeypatch):
    environment = outcomes_environment()
    run = optimize(environment, budget=800, seed=1)
    picks = [Arm(choice.candidate, choice.n) for choice in run.policy.choices]
    observed = observe(environment, budget=800, seed=1)
    whole = pick_stability(observed, environment.contexts, picks)
    assert all(0 <= s.same_arm <= s.same_candidate <= 1 for s in whole)
    assert max(s.same_candidate for s in whole) > 0.2
    first = Contexts(("a",), environment.contexts.weights[:1], environment.contexts.cost_weights[:1])
    (alone,) = pick_stability(observed, first, picks[:1])
    assert alone.same_arm == pytest.approx(whole[0].same_arm, abs=0.1)
    monkeypatch.setattr("iapo_core.clusters._BLOCK", 1)
    again = pick_stability(observed, environment.contexts, picks)
    for one, other in zip(whole, again, strict=True):
        assert other.same_candidate == pytest.approx(one.same_candidate, abs=0.15)


def test_a_scale_that_was_never_drawn_is_judged_by_its_prompt():
    (found,) = pick_stability(drawn(np.ones((2, 6), dtype=bool)), ONE, [Arm("p0", 8)], 8)
    assert np.isnan(found.same_arm)
    assert 0 <= found.same_candidate <= 1
    assert "with N" not in found.in_words()


def test_a_pick_by_the_queries_that_chose_it_is_covered_once_its_interval_reaches_down():
    """Twelve equal prompts, thirty queries: the best of them is flattered every time."""
    rng = np.random.default_rng(0)
    plain, careful = [], []
    for _ in range(150):
        right = rng.random((12, 30)) < 0.6
        observed = drawn(right)
        verdicts = judge(score_run_of(observed))
        (moved,) = wary(verdicts, observed, ONE)
        plain.append(verdicts[0].low <= 0.6 <= verdicts[0].high)
        careful.append(moved.low <= 0.6 <= moved.high)
        assert moved.high == verdicts[0].high
        assert moved.margin_low <= verdicts[0].margin_low
    assert np.mean(plain) < 0.85
    assert np.mean(careful) >= 0.93


def score_run_of(observed):
    observed.environment.objectives = ("correct",)
    return score_run(observed, ONE)


def test_what_was_judged_on_queries_kept_aside_stays_as_it_is():
    environment = votes_environment(n_queries=60)
    scores = score_queries(environment, environment.split.heldout, environment.contexts)
    verdicts = judge(scores)
    assert wary(verdicts, observe(environment, budget=300), environment.contexts) == verdicts


def test_all_contexts_are_summed_up_in_a_sentence():
    one, other = (Stability(c, Arm("p", 2), arm, prompt, 0.0) for c, arm, prompt in (("a", 0.2, 0.5), ("b", np.nan, 0.75)))
    assert stability_in_words([one, other]) == (
        "When the queries are resampled, the same prompt is picked in 50% to 75% of cases, and with the same N in 20% "
        "(from context to context)."
    )
    assert stability_in_words([other]) == "When the queries are resampled, the same prompt is picked in 75% of cases."


def test_missing_picks_and_empty_runs_are_refused():
    with pytest.raises(ContextError, match="0 picks were given for 1 contexts"):
        pick_stability(drawn(np.ones((2, 4), dtype=bool)), ONE, [])
    with pytest.raises(RunError, match="Nothing was drawn yet"):
        pick_stability(Observations(Two(2), ()), ONE, [Arm("p0", 1)])
