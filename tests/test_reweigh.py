"""Other weights on the same completions."""

import numpy as np
import pytest

from iapo_core.arms import Arm, Contexts
from iapo_core.environments.synthetic import synth_categorical
from iapo_core.errors import RunError
from iapo_core.observations import Observations, observe
from iapo_core.optimize import optimize
from iapo_core.reweigh import contenders, rank


@pytest.fixture(scope="module")
def drawn():
    environment = synth_categorical(3, n_prompts=8, n_queries=60, n_max=8)
    arguments = {"budget": 4000, "seed": 1}
    return environment, optimize(environment, **arguments).policy, observe(environment, **arguments)


def test_the_runs_own_weights_give_the_runs_own_picks(drawn):
    environment, policy, observations = drawn
    found = contenders(observations, environment.contexts)
    # Outcomes are continuous, so no two estimates tie and the replay is exact.
    assert [c.pick for c in found] == [policy.arm(context) for context in policy.contexts]


def test_the_runner_up_is_of_another_candidate(drawn):
    environment, _, observations = drawn
    assert all(c.runner_up.candidate != c.pick.candidate for c in contenders(observations, environment.contexts))


def test_every_arm_is_ranked_once(drawn):
    environment, _, observations = drawn
    order = rank(observations, environment.contexts)
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(64), (27, 1)))


def test_given_picks_stand(drawn):
    environment, _, observations = drawn
    arm = Arm(environment.candidates[0], 1)
    found = contenders(observations, Contexts(("mine",), np.array([[0.5, 0.5]]), np.array([0.0])), picks=[arm])
    assert found[0].pick == arm
    assert found[0].runner_up.candidate != arm.candidate


def test_scaling_all_weights_changes_nothing(drawn):
    _, _, observations = drawn
    weights, cost = np.array([[0.3, 0.7]]), np.array([0.2])
    once, twice = (contenders(observations, Contexts(("mine",), f * weights, f * cost)) for f in (1, 2))
    assert once == twice


def test_nothing_drawn_is_said(drawn):
    environment, _, _ = drawn
    with pytest.raises(RunError, match="Nothing was drawn yet"):
        rank(Observations(environment, ()), environment.contexts)
