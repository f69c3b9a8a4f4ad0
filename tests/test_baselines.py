"""The baselines keep the budget, share data, and end where they should."""

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.events import Planned, Pulled, Trimmed
from iapo_core.optimize import start
from tests.conftest import outcomes_environment, votes_environment

BANDITS = ["uniform", "eps-greedy", "softmax", "ucb"]
VOTES = votes_environment()


@pytest.mark.parametrize("algorithm", BANDITS)
def test_bandits_spend_everything_and_pull_every_prompt_first(algorithm):
    events = list(start(VOTES, budget=1000, algorithm=algorithm, seed=0))
    plans = [e for e in events if isinstance(e, Planned)]
    assert events[-1].spent == 1000
    assert (plans[0].repeats > 0).all()
    assert plans[0].sizes.max() == VOTES.n_max
    spent = [e.spent for e in events if isinstance(e, Pulled)]
    assert len(spent) == 10
    assert (np.abs(np.diff([0, *spent]) - 100) <= VOTES.n_max).all()  # uniform cuts no pull short before the end


def test_uniform_pulls_prompts_in_turn_at_n_max():
    events = list(start(VOTES, budget=1000, algorithm="uniform", seed=0))
    repeats = sum(e.repeats for e in events if isinstance(e, Planned))
    assert repeats.sum() == 125  # 1000 / 8
    assert repeats.max() - repeats.min() <= 1


@pytest.mark.parametrize("algorithm", [*BANDITS, "triple", "triple-random"])
def test_a_large_budget_brings_each_near_its_best(algorithm):
    environment = outcomes_environment(n_candidates=3, n_queries=12, n_max=4, seed=2)
    q = environment.q_values(environment.split.train)
    run = iapo.optimize(environment, budget=40_000, algorithm=algorithm, seed=0)
    for c, choice in enumerate(run.policy.choices):
        p = environment.candidates.index(choice.candidate)
        if algorithm.startswith("triple"):
            assert q[c, p, 0] >= q[c, :, 0].max() - 0.01
            assert choice.n == 1 or algorithm == "triple-random"
        else:
            assert q[c, p, choice.n - 1] >= q[c].max() - 0.02


def test_triple_buys_single_completions_and_halves_prompts():
    events = list(start(VOTES, budget=900, algorithm="triple", seed=1))
    assert all(set(e.sizes.tolist()) <= {0, 1} for e in events if isinstance(e, Planned))
    alive = [e.alive.any(axis=2).sum(axis=1).tolist() for e in events if isinstance(e, Trimmed)]
    assert alive == [[2, 2], [1, 1]]


def test_random_spends_nothing():
    runs = [iapo.optimize(VOTES, budget=500, algorithm="random", seed=s) for s in range(40)]
    assert {run.spent for run in runs} == {0}
    arms = {(choice.candidate, choice.n) for run in runs for choice in run.policy.choices}
    assert len(arms) > 20


def test_prompt_tuning_alone_falls_behind_joint_choice(math_path):
    joint, alone = [], []
    for seed in range(10):
        environment = iapo.load_environment(math_path, seed=seed)
        joint.append(environment.acr(iapo.optimize(environment, budget=5000, algorithm="psst-eb", seed=seed).policy))
        alone.append(environment.acr(iapo.optimize(environment, budget=5000, algorithm="triple", seed=seed).policy))
    assert np.mean(joint) > np.mean(alone) + 0.03
