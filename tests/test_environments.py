"""Environments keep the protocol, draw what they promise, and know the truth where they claim to."""

import json

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.environment import Environment, Pulls, split_queries
from iapo_core.environments.recorded import COLUMNS, RecordedEnvironment
from iapo_core.environments.synthetic import synth_bernoulli, synth_categorical
from iapo_core.errors import PolicyError, RecordingError, TaskError
from iapo_core.events import Pulled
from iapo_core.optimize import start
from iapo_core.task import Task
from tests.conftest import outcomes_environment, votes_environment


def recorded_task(n_max=4, strategy="majority_vote") -> Task:
    objectives = [{"id": "correct", "scorer": "choice", "params": {"choices": ["yes", "no"]}}]
    if strategy != "majority_vote":
        objectives.append({"id": "words", "scorer": "keywords"})
    return Task.model_validate(
        {
            "schema": 1, "id": "tiny", "title": "Tiny", "origin": "recorded", "strategy": strategy, "n_max": n_max,
            "objectives": objectives,
            "contexts": [{"id": "plain", "weights": {"correct": 1}}, {"id": "dear", "weights": {"correct": 1}, "cost_weight": 1}],
            "decoding": [{"id": "d", "model": "openai/tiny"}],
            "prompts": [{"id": "p1", "template": "{q}?"}, {"id": "p2", "template": "Answer: {q}"}],
            "queries": [{"id": f"q{i}", "fields": {"q": str(i)}, "gold": "yes"} for i in range(5)],
            "recording": "completions.parquet",
        }
    )  # fmt: skip


def recording(task, n=6, seed=0) -> dict[str, list]:
    rng = np.random.default_rng(seed)
    rows = [
        (p.id, "d", q.id, s, ["Yes, yes words", "no", "maybe"][rng.integers(3)], "stop", 10, int(rng.integers(1, 9)), 0.1, None)
        for p in task.prompts for q in task.queries for s in range(n)
    ]  # fmt: skip
    return {c: [row[i] for row in rows] for i, c in enumerate(COLUMNS)}


def everywhere(environment, n) -> Pulls:
    p, q = np.meshgrid(np.arange(len(environment.candidates)), environment.split.train, indexing="ij")
    return Pulls(p.ravel(), q.ravel(), np.full(p.size, n))


@pytest.mark.parametrize(
    "environment",
    [
        votes_environment(),
        outcomes_environment(),
        synth_bernoulli(0, n_queries=40),
        synth_categorical(0, n_queries=40),
        RecordedEnvironment(recorded_task(), recording(recorded_task())),
        RecordedEnvironment(recorded_task(strategy="mixed"), recording(recorded_task(strategy="mixed"))),
        RecordedEnvironment(recorded_task(strategy="best_of_n"), recording(recorded_task(strategy="best_of_n"))),
    ],
    ids=lambda e: f"{e.name}-{e.strategy}",
)
def test_every_environment_keeps_the_protocol(environment):
    assert isinstance(environment, Environment)
    pulls = Pulls(np.array([0, 1, 0]), environment.split.train[[0, 0, 1]], np.array([3, 1, 4]))
    first, again = environment.for_run(1).pull(pulls), environment.for_run(1).pull(pulls)
    np.testing.assert_array_equal(first.costs, again.costs)
    assert first.costs.shape == (3, 4)
    if environment.strategy != "best_of_n":
        np.testing.assert_array_equal(first.answers, again.answers)
        assert first.gold.shape == (3,)
    if environment.strategy != "majority_vote":
        assert first.objectives.shape == (3, 4, len(environment.objectives))
    curves = environment.reward_curves(environment.split.heldout, environment.contexts.distinct)
    n_w, n_p = len(environment.contexts.distinct), len(environment.candidates)
    assert curves.shape == (n_w, n_p, len(environment.split.heldout), environment.n_max)
    assert np.isfinite(curves).all()
    run = iapo.optimize(environment, budget=300, seed=0)
    oracle = environment.oracle()
    assert environment.acr(run.policy) <= oracle.acr + 1e-12
    assert environment.acr(environment.limit().policy) <= oracle.acr + 1e-12
    assert run.policy.is_simulated == environment.is_simulated


def test_the_split_is_80_to_20_disjoint_and_seeded():
    split = split_queries(100, 3)
    assert (len(split.train), len(split.heldout)) == (80, 20)
    assert set(split.train.tolist()) | set(split.heldout.tolist()) == set(range(100))
    np.testing.assert_array_equal(split.train, split_queries(100, 3).train)
    assert (split.train.tolist()) != split_queries(100, 4).train.tolist()
    with pytest.raises(TaskError, match="1 query cannot be split"):
        split_queries(1, 0)


@pytest.mark.parametrize("make", [votes_environment, outcomes_environment])
def test_draws_follow_the_table(make):
    environment = make(n_candidates=2, n_queries=5)
    pulls = Pulls(np.zeros(4000, dtype=int), np.full(4000, environment.split.train[0]), np.full(4000, 8))
    outcomes = environment.for_run(0).pull(pulls)
    truth = environment.reward_curves(environment.split.train[:1], environment.contexts.distinct)[0, 0, 0]
    estimates = iapo_estimates(environment, pulls, outcomes)
    np.testing.assert_allclose(estimates.reward[0, 0], truth, atol=0.02)


def iapo_estimates(environment, pulls, outcomes):
    from iapo_core.estimates import Estimates

    estimates = Estimates(len(environment.candidates), environment.n_max, environment.contexts, environment.strategy)
    estimates.add(pulls, outcomes)
    return estimates


def test_a_recording_serves_each_completion_once_before_any_again():
    task = recorded_task()
    environment = RecordedEnvironment(task, recording(task, n=6)).for_run(0)
    outcomes = [environment.pull(everywhere(environment, 3)) for _ in range(4)]
    assert [o.n_reused for o in outcomes] == [0, 0, 24, 24]
    costs = np.sort(np.concatenate([o.costs for o in outcomes[:2]], axis=1), axis=1)
    stored = np.sort(environment._costs[:, environment.split.train].reshape(8, 6), axis=1)
    np.testing.assert_allclose(costs, stored)


def test_a_cell_that_stands_twice_in_a_batch_gets_different_completions():
    task = recorded_task()
    environment = RecordedEnvironment(task, recording(task, n=6)).for_run(0)
    q = environment.split.train[0]
    outcomes = environment.pull(Pulls(np.zeros(2, dtype=int), np.array([q, q]), np.array([3, 3])))
    assert outcomes.n_reused == 0
    np.testing.assert_allclose(np.sort(outcomes.costs.ravel()), np.sort(environment._costs[0, q]))


def test_failed_completions_are_data():
    task = recorded_task()
    data = recording(task)
    data["error"] = ["timeout" if s == 0 else None for s in data["sample"]]
    environment = RecordedEnvironment(task, data)
    outcomes = environment.for_run(0).pull(everywhere(environment, 4))
    assert 0 < outcomes.n_failed <= 8
    assert environment.texts(0, 0)[0].error == "timeout"
    assert environment.texts(0, 0)[0].answer is None


def test_texts_carry_votes_and_scores():
    task = recorded_task()
    environment = RecordedEnvironment(task, recording(task))
    for completion in environment.texts(1, 2):
        assert completion.answer == {"Yes, yes words": "yes", "no": "no", "maybe": None}[completion.text]
        assert completion.scores == (float(completion.answer == "yes"),)
        assert completion.cost == pytest.approx(0.001 * completion.completion_tokens)


def test_a_recording_that_does_not_fit_its_task_is_refused():
    task = recorded_task()
    data = recording(task)
    with pytest.raises(RecordingError, match=r"has 6 completions, fewer than N_max 7; record more"):
        RecordedEnvironment(recorded_task(n_max=7), data)
    with pytest.raises(RecordingError, match=r"row 1 is for prompt 'zz'"):
        RecordedEnvironment(task, {**data, "prompt": ["zz", *data["prompt"][1:]]})
    with pytest.raises(RecordingError, match=r"rows 1 and 2 are both sample 0"):
        RecordedEnvironment(task, {**data, "sample": [0, 0, *data["sample"][2:]]})


def test_acr_refuses_a_policy_of_another_task():
    policy = votes_environment().oracle().policy
    with pytest.raises(PolicyError, match="the policy is for another task"):
        votes_environment(n_candidates=2, n_max=1).acr(policy)


def test_the_deceptive_half_leads_at_one_and_falls_behind():
    environment = synth_bernoulli(7)
    q = environment.q_values(np.arange(520))[0]
    assert environment.is_simulated
    assert int(q[:, 0].argmax()) != int(q[:, 31].argmax())
    assert q[int(q[:, 0].argmax()), 31] < q[:, 31].max() - 0.05


def test_the_paper_shapes_of_the_synthetic_environments():
    bernoulli, categorical = synth_bernoulli(0), synth_categorical(0)
    assert (len(bernoulli.candidates), bernoulli.n_max, len(bernoulli.contexts)) == (32, 32, 3)
    assert (len(categorical.candidates), categorical.n_max, len(categorical.contexts)) == (32, 32, 27)
    assert len(bernoulli.split.train) + len(bernoulli.split.heldout) == 520
    assert len(categorical.split.train) + len(categorical.split.heldout) == 512


def test_a_recorded_folder_loads_and_runs(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    task = recorded_task()
    (tmp_path / "task.json").write_text(json.dumps(task.model_dump(mode="json", by_alias=True)))
    pq.write_table(pa.table(recording(task)), tmp_path / "completions.parquet")
    environment = iapo.load_environment(tmp_path, seed=1)
    assert environment.task.fingerprint == task.fingerprint
    spent = [e.spent for e in start(environment, budget=100) if isinstance(e, Pulled)]
    assert spent == sorted(spent)
    assert spent[-1] <= 100


def test_a_table_is_a_population_of_tasks():
    population = votes_environment(n_candidates=2, n_queries=12, n_max=3)
    truth = population.reward_curves(np.arange(12), np.ones((1, 1)))[0]  # (P, X, N)
    task = population.sampled(400, np.random.default_rng(0))
    assert len(task.split.train) + len(task.split.heldout) == task.n_queries == 400
    curves = task.reward_curves(np.arange(400), np.ones((1, 1)))[0]
    which = [int(np.flatnonzero(np.isclose(truth, curves[:, [i]]).all(axis=(0, 2)))[0]) for i in range(400)]
    assert set(which) == set(range(12))
    assert max(np.bincount(which)) < 60  # about 33 each
    outcomes = outcomes_environment().sampled(5, np.random.default_rng(0))
    drawn = outcomes.pull(Pulls(np.array([0]), np.array([4]), np.array([2])))
    assert drawn.objectives.shape == (1, 2, 2)
