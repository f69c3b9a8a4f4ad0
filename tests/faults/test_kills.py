"""kill -9 at every point and at random moments: the next worker ends the run as if nothing had happened.

Every test asserts that the reference is not empty and that the kill fired.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from iapo_core.events import Finished, Trimmed, to_json
from iapo_core.runs.worker import work
from tests.faults import dying
from tests.runs.test_store import events_of

PATIENCE_S = 60


@pytest.fixture
def reference(config):
    """The events of a run that nobody disturbed, as text."""
    events = events_of(config)
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Trimmed) for event in events) >= 3
    return [to_json(event) for event in events]


def finish_it(store, run_id, lease_s=dying.LEASE_S):
    """Work in this process until the run rests."""
    until = time.monotonic() + PATIENCE_S
    while store.run(run_id).is_active:
        assert time.monotonic() < until
        work(store, idle_s=0, lease_s=lease_s)
        time.sleep(0.02)


def check_as_if_undisturbed(store, run_id, reference):
    run = store.run(run_id)
    assert (run.state, run.message) == ("finished", "")
    payloads = store.payloads(run_id)
    assert [seq for seq, _ in payloads] == list(range(1, len(reference) + 1))
    assert [payload for _, payload in payloads] == reference
    assert run.policy == store.events(run_id)[-1][1].policy
    assert 0 < run.spent <= run.config.budget


def test_kill_9_before_and_after_every_write(store, backend, config, reference):
    points = [("append", n, moment) for n in range(1, len(reference) + 1) for moment in ("before", "after")]
    points += [("claim", 1, "before"), ("claim", 1, "after"), ("finish", 1, "before"), ("finish", 1, "after")]
    for method, nth, moment in points:
        run_id = store.create_run(config)
        process = dying.spawn(dying.die_at, backend, method, nth, moment)
        process.join(PATIENCE_S)
        assert process.exitcode == -signal.SIGKILL, (method, nth, moment)
        stored = len(store.payloads(run_id))
        assert stored == {"append": nth - (moment == "before"), "claim": 0, "finish": len(reference)}[method]
        finish_it(store, run_id)
        check_as_if_undisturbed(store, run_id, reference)


def test_one_run_that_is_killed_after_each_of_its_events(store, backend, config, reference):
    run_id = store.create_run(config)
    for n_stored in range(1, len(reference) + 1):
        until = time.monotonic() + PATIENCE_S
        while len(store.payloads(run_id)) < n_stored:
            assert time.monotonic() < until
            process = dying.spawn(dying.die_at, backend, "append", 1, "after")
            process.join(PATIENCE_S)
        assert process.exitcode == -signal.SIGKILL
        assert len(store.payloads(run_id)) == n_stored
    finish_it(store, run_id)
    check_as_if_undisturbed(store, run_id, reference)


@pytest.mark.parametrize("seed", range(5))
def test_kill_9_at_random_moments_until_done(store, backend, config, reference, seed):
    rng = np.random.default_rng(seed)
    run_id = store.create_run(config.model_copy(update={"pace_s": 0.1}))
    n_killed = 0
    while store.run(run_id).is_active:
        token = token_of(store, run_id)
        process = dying.spawn(dying.work_until_idle, backend)
        until = time.monotonic() + PATIENCE_S
        while token_of(store, run_id) == token and process.is_alive():
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.25)))
        process.kill()
        process.join(PATIENCE_S)
        n_killed += process.exitcode == -signal.SIGKILL
        assert n_killed < 100
    assert n_killed >= 1
    check_as_if_undisturbed(store, run_id, reference)


def token_of(store, run_id):
    with store._read() as connection:
        return connection.execute(text("SELECT token FROM runs WHERE id = :id"), {"id": run_id}).scalar()


def test_a_worker_that_slept_past_its_lease_changes_nothing_when_it_wakes(store, backend, config, reference):
    run_id = store.create_run(config)
    process = dying.spawn(dying.sleep_after, backend, "append", 3)
    until = time.monotonic() + PATIENCE_S
    while not is_asleep(process.pid):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert len(store.payloads(run_id)) == 3 < len(reference)
    time.sleep(2 * dying.LEASE_S)
    finish_it(store, run_id)
    check_as_if_undisturbed(store, run_id, reference)
    finished_at = store.run(run_id).finished_at
    os.kill(process.pid, signal.SIGCONT)
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    check_as_if_undisturbed(store, run_id, reference)
    assert store.run(run_id).finished_at == finished_at


def is_asleep(pid):
    """Whether the process is stopped, as Linux tells it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_many_workers_on_one_queue_drive_each_run_once(store, backend, config, reference):
    ids = [store.create_run(config) for _ in range(6)]
    workers = [dying.spawn(dying.work_until_idle, backend, 30.0) for _ in range(4)]
    for process in workers:
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    for run_id in ids:
        check_as_if_undisturbed(store, run_id, reference)
        assert token_of(store, run_id) == 1
