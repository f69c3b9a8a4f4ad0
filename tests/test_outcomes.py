"""Fronts, the bound, policies and events: oracles and round trips."""

from math import ceil, exp, floor, inf, log, log2, log10

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iapo_core as iapo
from iapo_core.arms import Survivors
from iapo_core.bound import theorem1
from iapo_core.errors import ContextError, PolicyError, StoreError
from iapo_core.events import from_json, to_json
from iapo_core.fronts import dominance_ribbon, hypervolume, knee, pareto_front, pareto_mask
from iapo_core.optimize import start
from iapo_core.policy import Policy
from iapo_core.task import Query
from tests.conftest import outcomes_environment, votes_environment
from tests.test_environments import recorded_task


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30))
def test_the_front_is_what_no_point_beats(points):
    cost, quality = np.array(points, dtype=float).T
    beaten = [
        any((c2 <= c and q2 >= q) and (c2 < c or q2 > q) for c2, q2 in points) for c, q in points
    ]  # fmt: skip
    np.testing.assert_array_equal(pareto_mask(cost, quality), ~np.array(beaten))
    front = pareto_front(cost, quality)
    assert (np.diff(cost[front]) > 0).all()
    assert (np.diff(quality[front]) > 0).all()
    assert {(cost[i], quality[i]) for i in front} == {p for p, b in zip(points, beaten, strict=True) if not b}


def test_nan_is_never_on_the_front():
    assert pareto_mask(np.array([0.0, 1.0]), np.array([np.nan, 1.0])).tolist() == [False, True]
    assert pareto_front(np.array([1.0]), np.array([np.nan])).tolist() == []


def test_hypervolume_of_a_staircase():
    assert hypervolume(np.array([1.0, 2.0]), np.array([1.0, 2.0]), reference=(3.0, 0.0)) == pytest.approx(2 * 1 + 1 * 1)
    assert hypervolume(np.array([]), np.array([]), reference=(1.0, 0.0)) == 0.0


def test_the_knee_is_where_returns_diminish():
    assert knee(np.array([0.0, 1.0, 10.0]), np.array([0.0, 9.0, 10.0])) == 1
    assert knee(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 1


def test_the_ribbon_names_the_best_arm_within_each_limit():
    rng = np.random.default_rng(0)
    cost, quality = rng.random((5, 4)), rng.random((5, 4))
    quality[2, 1] = np.nan
    limits = np.linspace(0, 1, 50)
    ribbon = dominance_ribbon(cost, quality, limits)
    for i, limit in enumerate(limits):
        reachable = np.where((cost <= limit) & ~np.isnan(quality), quality, -np.inf)
        if np.isfinite(reachable).any():
            assert ribbon.quality[i] == reachable.max()
            assert quality[ribbon.candidates[i], ribbon.scales[i] - 1] == reachable.max()
        else:
            assert ribbon.candidates[i] == -1


def test_theorem_1_on_two_arms_by_hand():
    q = np.array([[[0.5, 0.3]]])  # one context, one prompt, N_max 2: best at N = 1, gap 0.2
    bound = theorem1(q, 10_000)
    assert bound.h1 == pytest.approx(1.5 / 0.04)
    assert bound.h2 == pytest.approx(2 * 1.5 / 0.04)
    assert bound.n_rounds == 1
    complexity = min(2 * 1 * bound.h1, 8 * 1 * bound.h2)
    assert bound.failure_probability == pytest.approx(3 * exp(-10_000 / complexity))
    assert theorem1(q, ceil(bound.budget_for(0.05))).failure_probability <= 0.05
    assert "with a probability of at least 99.9 %" in bound.in_words(10_000)


def test_theorem_1_says_nothing_where_arms_tie():
    bound = theorem1(np.array([[[0.5, 0.5]]]), 10**9)
    assert bound.h1 == inf
    assert bound.failure_probability == 1
    assert "guarantees nothing" in bound.in_words(10**9)
    assert "never can where two arms tie exactly" in bound.in_words(10**9)
    assert log2(2) == bound.n_rounds


def test_a_trivial_bound_is_called_trivial_and_asks_for_a_number_that_can_be_read():
    q = np.array([[[0.5, 0.5 - 1e-5]]])
    bound = theorem1(q, 20_000)
    assert bound.failure_probability == 1
    wanted = bound.complexity * log(3 / 0.05)
    assert 1e10 < wanted < 1e12
    exponent = floor(log10(wanted))
    words = bound.in_words(20_000)
    assert f"about {round(wanted / 10**exponent)} x 10^{exponent} completions" in words
    assert "its bound is trivial" in words
    assert "resampled" in words
    nearly = theorem1(np.array([[[0.5, 0.3]]]), 83)  # 3 exp(-83 / 75) is just below 1
    assert 0.99 < nearly.failure_probability < 1
    assert "guarantees nothing" in nearly.in_words(83)
    assert "about 308 completions" in nearly.in_words(83)  # 75 ln 60 = 307.08


@pytest.mark.parametrize("environment", [votes_environment(), outcomes_environment()], ids=["votes", "outcomes"])
@pytest.mark.parametrize("budget", [3, 700])
def test_events_survive_json_bit_for_bit(environment, budget):
    for event in start(environment, budget=budget):
        text = to_json(event)
        again = from_json(text)
        assert to_json(again) == text
        for name, value in vars(event).items():
            if name == "survivors":
                np.testing.assert_array_equal(again.alive, event.alive)
            else:
                np.testing.assert_array_equal(getattr(again, name), value)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 7), st.integers(0, 99))
def test_packed_arms_are_the_mask_whatever_its_shape(n_contexts, n_candidates, n_max, seed):
    mask = np.random.default_rng(seed).random((n_contexts, n_candidates, n_max)) < 0.5
    packed = Survivors.of(mask)
    np.testing.assert_array_equal(packed.mask(), mask)
    np.testing.assert_array_equal(packed.bits, np.packbits(mask))  # as databases have held it from the start
    np.testing.assert_array_equal(packed.counts(), mask.sum(axis=(1, 2)))
    np.testing.assert_array_equal(packed.anywhere(), mask.any(axis=0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("iapo_core.arms._BLOCK", 1)  # eight contexts at a time
        again = Survivors.of(mask)
        np.testing.assert_array_equal(again.bits, packed.bits)
        np.testing.assert_array_equal(np.concatenate([block for _, block in packed.blocks()]), mask.reshape(n_contexts, -1))


@pytest.mark.parametrize(
    "text", ['{"kind": "invented"}', '{"kind":"trimmed","round":1,"cut":[],"alive":{"shape":[1,2,8],"b64":"AA=="}}']
)
def test_a_broken_event_is_refused(text):
    with pytest.raises(StoreError, match="stored event cannot be read"):
        from_json(text)


def test_a_policy_survives_json_and_aggregates(tmp_path):
    task = recorded_task()
    grid = iapo.Grid(("p1", "p2"), 4, iapo.Contexts(("plain", "dear"), np.ones((2, 1)), np.array([0.0, 1.0])))
    policy = Policy.from_picks(
        grid,
        np.array([0, 1]),
        np.array([3, 1]),
        task="tiny",
        strategy="majority_vote",
        objectives=("correct",),
        is_simulated=False,
    ).with_task(task)
    policy.save(tmp_path / "policy.json")
    again = iapo.Policy.load(tmp_path / "policy.json")
    assert again == policy
    assert again.to_json() == policy.to_json()
    assert again.arm("plain") == iapo.Arm("p1", 3)
    query = Query(id="new", fields={"q": "is it"})
    assert again.messages("dear", query.fields) == [{"role": "user", "content": "Answer: is it"}]
    assert again.aggregate("plain", ["No way", "Yes!", "yes it is"], query) == "yes"
    with pytest.raises(ContextError, match="no context 'other'; it serves 'plain', 'dear'"):
        again.arm("other")
    with pytest.raises(PolicyError, match="no completions to aggregate"):
        again.aggregate("plain", [], query)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "iapo-policy/9"}', "\x00"])
def test_a_file_that_is_no_policy_is_refused(tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(PolicyError, match=r"p\.json: .*export the policy again"):
        Policy.load(path)
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(tmp_path / "missing.json")
