"""A live run can be looked at again: its own pulls, from the store, without a call."""

import numpy as np
import pytest

from iapo_core.environments.stored import StoredEnvironment
from iapo_core.errors import LiveError, RunError
from iapo_core.events import Pulled, to_json
from iapo_core.observations import observe
from iapo_core.optimize import start
from iapo_core.runs.evidence import evidence_environment
from iapo_core.runs.worker import ensure_finished
from tests.faults.living import CANARY, SLOT, clever, live_config
from tests.faults.server import FaultServer
from tests.faults.test_judges import answers, judged_config


@pytest.fixture
def run(store, monkeypatch):
    """A finished run whose server is gone."""
    monkeypatch.setenv("IAPO_TEST_LIVE_KEY", CANARY)
    with FaultServer(text=clever) as server:
        run_id = store.create_run(live_config(server))
        ensure_finished(store, run_id)
    monkeypatch.delenv("IAPO_TEST_LIVE_KEY")
    return store.run(run_id)


def test_the_replay_is_the_run(store, run):
    stored = [event for _, event in store.events(run.id)]
    environment = evidence_environment(store, run, stored)
    assert isinstance(environment, StoredEnvironment)
    again = list(start(environment, **run.config.arguments(environment)))
    assert [to_json(event) for event in again] == [to_json(event) for event in stored]


def test_judged_runs_are_replayed_from_stored_verdicts(store, monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)
    with FaultServer(text=answers) as server:
        run_id = store.create_run(judged_config(server, "judged"))
        ensure_finished(store, run_id)
    run, stored = store.run(run_id), [event for _, event in store.events(run_id)]
    assert run.state == "finished"
    environment = evidence_environment(store, run, stored)
    again = list(start(environment, **run.config.arguments(environment)))
    assert [to_json(event) for event in again] == [to_json(event) for event in stored]
    liked = {one.scores[1] for p in range(3) for x in range(environment.n_queries) for one in environment.texts(p, x)}
    assert len(liked) == 2  # the judge's two grades


def test_a_text_is_judged_once_however_often_the_run_is_opened(store, run, monkeypatch):
    stored = [event for _, event in store.events(run.id)]
    first = evidence_environment(store, run, stored)
    monkeypatch.setattr("iapo_core.scorers.text.Exact.score", lambda self, text, query: pytest.fail("judged again"))
    again = evidence_environment(store, run, stored)
    assert [again.texts(0, x) for x in range(10)] == [first.texts(0, x) for x in range(10)]


def test_it_holds_what_the_run_drew_and_nothing_else(store, run):
    stored = [event for _, event in store.events(run.id)]
    environment = evidence_environment(store, run, stored)
    n_train = sum(event.n_completions for event in stored if isinstance(event, Pulled))
    counts = np.array(
        [[len(environment.texts(p, x)) for x in range(environment.n_queries)] for p in range(len(environment.candidates))]
    )
    assert counts[:, environment.split.train].sum() == n_train
    picked = [environment.candidates.index(choice.candidate) for choice in run.policy.choices]
    heldout = counts[:, environment.split.heldout]
    assert (heldout[picked] > 0).all()
    assert heldout.sum() == heldout[sorted(set(picked))].sum()  # the rest was never drawn there
    known = run.policy.choices[0].estimate
    curve = environment.q_values(environment.split.heldout)[0, picked[0], run.policy.choices[0].n - 1]
    assert curve == pytest.approx(known.value)  # the first context weighs no cost
    assert np.isnan(environment.q_values(environment.split.heldout)[0, [p for p in range(3) if p not in picked]]).all()


def test_the_first_rounds_alone_can_be_opened(store, run):
    stored = [event for _, event in store.events(run.id)]
    half = stored[: len(stored) // 2]
    environment = evidence_environment(store, run, half)
    drawn = observe(environment, n_events=len(half), **run.config.arguments(environment))
    assert sum(pulls.n_completions for pulls, _ in drawn.batches) == sum(e.n_completions for e in half if isinstance(e, Pulled))


def test_what_was_never_drawn_is_refused(store, run):
    environment = evidence_environment(store, run, [])
    dearer = {**run.config.arguments(environment), "budget": 2_000}
    with pytest.raises(LiveError, match="is not stored"):
        list(start(environment, **dearer))


def test_a_changed_task_is_refused(store, run):
    changed = run.config.model_copy(update={"task_fingerprint": "0" * 64})
    with pytest.raises(RunError, match="has changed since"):
        evidence_environment(store, type(run)(**{**run.__dict__, "config": changed}), [])
