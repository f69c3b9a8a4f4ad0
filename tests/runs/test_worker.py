"""A real worker process: it finishes, stops, gives back and fails in words. What kills it is in tests/faults."""

import os
import subprocess
import sys
import time

import pytest

from iapo_core.events import Trimmed, to_json
from iapo_core.runs import drive, worker
from iapo_core.runs.catalogue import samples_dir
from iapo_core.runs.worker import ensure_finished, ensure_worker, showcase
from tests.runs.test_store import events_of

PATIENCE_S = 60


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"waited {PATIENCE_S} s for {what}")


@pytest.fixture
def start_worker(home, backend):
    """Start real worker processes with a short lease; end those that are left."""
    started = []

    def begin(lease_s=1.0):
        imports = "from iapo_core.runs.store import Store; from iapo_core.runs.worker import work"
        code = f"{imports}; work(Store.open({backend!r}), lease_s={lease_s})"
        process = subprocess.Popen([sys.executable, "-c", code], env=os.environ.copy())
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def trims(store, run_id):
    return [to_json(event) for _, event in store.events(run_id) if isinstance(event, Trimmed)]


def test_a_worker_finishes_a_run_and_leaves_on_sigterm(store, config, start_worker):
    run_id = store.create_run(config)
    process = start_worker()
    wait_for(lambda: store.run(run_id).state == "finished", "the run to finish")
    run = store.run(run_id)
    assert [to_json(e) for _, e in store.events(run_id)] == [to_json(e) for e in events_of(config)]
    assert run.policy == events_of(config)[-1].policy
    assert 0 < run.spent <= config.budget
    process.terminate()
    assert process.wait(PATIENCE_S) == 0


def test_cancel_keeps_what_was_drawn_and_resume_ends_as_if_nothing_happened(store, config, start_worker):
    run_id = store.create_run(config.model_copy(update={"pace_s": 0.4}))
    start_worker()
    wait_for(lambda: store.run(run_id).round >= 2, "round 2")
    asked = time.monotonic()
    store.request(run_id, "cancel")
    wait_for(lambda: store.run(run_id).state == "stopped", "the run to stop")
    assert time.monotonic() - asked < 2
    stopped = store.run(run_id)
    assert stopped.policy is not None
    assert 0 < stopped.spent < config.budget
    assert 0 < len(trims(store, run_id)) < len([e for e in events_of(config) if isinstance(e, Trimmed)])
    store.request(run_id, "resume")
    wait_for(lambda: store.run(run_id).state == "finished", "the resumed run to finish")
    assert trims(store, run_id) == [to_json(e) for e in events_of(config) if isinstance(e, Trimmed)]


def test_sigterm_gives_the_run_back(store, config, start_worker):
    run_id = store.create_run(config.model_copy(update={"pace_s": 0.5}))
    process = start_worker(lease_s=30)
    wait_for(lambda: store.run(run_id).round >= 1, "round 1")
    process.terminate()
    process.wait(PATIENCE_S)
    assert store.run(run_id).state == "queued"
    start_worker()
    wait_for(lambda: store.run(run_id).state == "finished", "the next worker to finish it")


def test_a_changed_task_is_not_resumed(store, config):
    run_id = store.create_run(config.model_copy(update={"task_fingerprint": "0" * 64}))
    ensure_finished(store, run_id)
    run = store.run(run_id)
    assert run.state == "failed"
    assert "has changed since this run was started; start a new run" in run.message


def test_a_replay_that_differs_is_refused(store, config):
    run_id = store.create_run(config)
    claim = store.claim("w", 0.0)
    store.append(claim, 1, events_of(config)[1])
    ensure_finished(store, run_id)
    assert "replay differs from what was stored" in store.run(run_id).message


def test_an_unexpected_error_is_a_sentence_and_a_log_entry(store, config, monkeypatch, caplog):
    run_id = store.create_run(config)

    def broken(*_args, **_keywords):
        raise ZeroDivisionError("sk-secret-detail")

    monkeypatch.setattr(drive, "start", broken)
    ensure_finished(store, run_id)
    run = store.run(run_id)
    assert run.state == "failed"
    assert run.message.startswith("An unexpected error ended the run")
    assert "sk-secret" not in run.message
    assert "ZeroDivisionError" in caplog.text


def test_two_tabs_start_one_worker(store, config, home):
    run_id = store.create_run(config)
    for _ in range(3):
        ensure_worker(store)
    wait_for(lambda: store.run(run_id).state == "finished", "the detached worker")
    with store._read() as connection:
        workers = connection.exec_driver_sql("SELECT id FROM workers WHERE id <> 'starting'").all()
    assert len(workers) == 1
    for process in worker._STARTED:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.skipif(not (samples_dir() / "topics" / "completions.parquet").exists(), reason="the bundled recording is not here")
def test_the_showcase_is_made_once_and_finished(store):
    run_id = showcase(store)
    assert store.run(run_id).state == "finished"
    assert showcase(store) == run_id
    assert len(store.runs()) == 1
