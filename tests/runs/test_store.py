"""The storage contract, held by every kind of database: idempotent, fenced, append-only, and refusals in words."""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from sqlalchemy import make_url, text

from iapo_core.errors import RunError, StoreError
from iapo_core.events import to_json
from iapo_core.optimize import start
from iapo_core.runs.catalogue import open_environment
from iapo_core.runs.engine import make_engine
from iapo_core.runs.store import LeaseLostError, Store
from iapo_core.runs.worker import ensure_finished


def events_of(config):
    environment = open_environment(config.task, config.seed)
    return list(start(environment, **config.arguments(environment)))


def test_the_same_nonce_is_the_same_run(store, config):
    first = store.create_run(config, nonce="five clicks")
    assert {store.create_run(config, nonce="five clicks") for _ in range(5)} == {first}
    assert store.create_run(config, nonce="another") != first
    assert store.create_run(config) != store.create_run(config)
    assert len(store.runs()) == 4


def test_a_run_comes_back_as_it_was_sent(store, config):
    run = store.run(store.create_run(config))
    assert run.config == config
    assert (run.state, run.spent, run.policy) == ("queued", 0, None)
    assert run.config.fingerprint == config.fingerprint
    assert config.model_copy(update={"pace_s": 2.0}).fingerprint == config.fingerprint
    assert config.model_copy(update={"budget": 801}).fingerprint != config.fingerprint


def test_events_are_kept_in_order_and_bit_for_bit(store, config):
    run_id = store.create_run(config)
    claim = store.claim("w", 10)
    events = events_of(config)
    for seq, event in enumerate(events, start=1):
        store.append(claim, seq, event)
    assert [to_json(e) for _, e in store.events(run_id)] == [to_json(e) for e in events]
    assert [seq for seq, _ in store.events(run_id, after=3)] == list(range(4, len(events) + 1))
    assert store.run(run_id).spent == events[-1].spent
    store.finish(claim, "finished", policy=events[-1].policy)
    assert store.run(run_id).policy == events[-1].policy
    assert store.claim("w", 10) is None


def test_a_worker_that_lost_its_lease_changes_nothing(store, config):
    run_id = store.create_run(config)
    asleep = store.claim("a", 0.0)
    awake = store.claim("b", 10)
    assert awake.token == asleep.token + 1
    event = events_of(config)[0]
    for attempt in (
        lambda: store.append(asleep, 1, event),
        lambda: store.renew(asleep, 10),
        lambda: store.finish(asleep, "failed"),
    ):
        with pytest.raises(LeaseLostError, match="taken run"):
            attempt()
    assert store.payloads(run_id) == []
    store.append(awake, 1, event)
    assert len(store.payloads(run_id)) == 1


def claim_in_a_process(backend):
    store = Store.open(backend)
    claim = store.claim("racer", 60)
    store.close()
    return claim


def test_eight_processes_that_race_give_each_run_one_owner(store, backend, config):
    ids = {store.create_run(config) for _ in range(3)}
    with ProcessPoolExecutor(8, mp_context=multiprocessing.get_context("spawn")) as pool:
        claims = [claim for claim in pool.map(claim_in_a_process, [backend] * 8) if claim is not None]
    assert sorted(c.run_id for c in claims) == sorted(ids)


def test_threads_that_write_at_once_lose_nothing(store, config):
    run_ids = [store.create_run(config) for _ in range(8)]
    claims = [store.claim(f"w{i}", 60) for i in range(8)]
    event = events_of(config)[0]

    def write(claim):
        for seq in range(1, 21):
            store.append(claim, seq, event)

    threads = [threading.Thread(target=write, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(store.payloads(run_id)) for run_id in run_ids] == [20] * 8


def test_requests_follow_the_states(store, config):
    run_id = store.create_run(config)
    with pytest.raises(RunError, match="is queued, so it cannot be asked to resume"):
        store.request(run_id, "resume")
    store.request(run_id, "cancel")
    assert store.run(run_id).state == "stopped"
    with pytest.raises(RunError, match="is stopped, so it cannot be asked to cancel"):
        store.request(run_id, "cancel")
    store.request(run_id, "resume")
    claim = store.claim("w", 10)
    store.request(run_id, "cancel")
    assert store.renew(claim, 10) == "cancel"
    with pytest.raises(RunError, match="no run 'nowhere' in this database"):
        store.run("nowhere")


def test_a_wish_to_cancel_outlives_a_worker_that_is_shut_down(store, config):
    run_id = store.create_run(config)
    claim = store.claim("w", 10)
    store.append(claim, 1, events_of(config)[0])
    store.request(run_id, "cancel")
    store.finish(claim, "queued")
    assert store.requested(run_id) == "cancel"
    ensure_finished(store, run_id)
    stopped = store.run(run_id)
    assert (stopped.state, stopped.policy) == ("stopped", None)  # nothing was estimated yet
    assert stopped.finished_at is not None
    assert store.requested(run_id) is None


def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(store, config, monkeypatch):
    run_id = store.create_run(config)
    a_day_ahead = time.time() + 86_400
    with monkeypatch.context() as ahead:
        ahead.setattr("iapo_core.runs.store.time.time", lambda: a_day_ahead)
        early = store.claim("killed", 10)
    again = store.claim("next", 10)
    assert (again.run_id, again.token) == (run_id, early.token + 1)
    assert store.claim("third", 10) is None


def test_a_message_that_no_database_stores_is_stored_all_the_same(store, config):
    run_id = store.create_run(config)
    store.finish(store.claim("w", 10), "failed", message="bad \0 and \ud800 text")
    assert store.run(run_id).message == "bad \N{REPLACEMENT CHARACTER} and ? text"


def test_settings_that_were_changed_behind_our_back_are_not_run(store, config):
    run_id = store.create_run(config)
    with store._write() as connection:
        connection.execute(text("UPDATE runs SET config = :config"), {"config": _other(config)})
    ensure_finished(store, run_id)
    assert store.run(run_id).state == "failed"
    assert "settings of this run were changed after it was created" in store.run(run_id).message
    assert store.payloads(run_id) == []


def _other(config):
    return config.model_copy(update={"budget": config.budget + 1}).model_dump_json()


def test_what_this_package_did_not_write_is_refused_in_words(store, config):
    run_id = store.create_run(config)
    claim = store.claim("w", 10)
    store.append(claim, 1, events_of(config)[0])
    with store._write() as connection:
        connection.execute(text("UPDATE events SET payload = '{}'"))
        connection.execute(text("UPDATE runs SET config = '{}'"))
    with pytest.raises(StoreError, match="A stored event cannot be read"):
        store.events(run_id)
    with pytest.raises(StoreError, match=f"Run {run_id} cannot be read"):
        store.run(run_id)


def test_a_newer_schema_is_refused(store, backend):
    with store._write() as connection:
        connection.execute(text("INSERT INTO iapo_schema VALUES (99)"))
    with pytest.raises(StoreError, match=r"newer IAPO \(schema 99"):
        Store.open(backend)


def test_tables_of_other_software_are_refused(backend, home):
    home.mkdir(parents=True, exist_ok=True)
    theirs = make_engine(make_url(backend), is_writer=True)
    with theirs.begin() as connection:
        connection.execute(text("CREATE TABLE runs (x INTEGER)"))
    theirs.dispose()
    with pytest.raises(StoreError, match="holds tables of other software"):
        Store.open(backend)


def open_and_queue(arguments):
    backend, config = arguments
    store = Store.open(backend)
    run_id = store.create_run(config, nonce="one click")
    store.close()
    return run_id


def test_eight_processes_that_open_a_new_database_and_send_one_form_make_one_run(backend, home, config):
    home.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(8, mp_context=multiprocessing.get_context("spawn")) as pool:
        ids = set(pool.map(open_and_queue, [(backend, config)] * 8))
    store = Store.open(backend)
    assert [run.id for run in store.runs()] == list(ids)
    store.close()
