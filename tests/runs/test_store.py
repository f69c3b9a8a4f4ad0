"""The storage contract: idempotent, fenced, append-only, and readable errors."""

import sqlite3
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from iapo_core.errors import RunError, StoreError
from iapo_core.events import to_json
from iapo_core.optimize import start
from iapo_core.runs import engine
from iapo_core.runs.catalogue import open_environment
from iapo_core.runs.store import LeaseLostError, Store


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


def claim_in_a_process(_):
    store = Store.open()
    claim = store.claim("racer", 60)
    store.close()
    return claim


def test_eight_processes_that_race_give_each_run_one_owner(store, config):
    ids = {store.create_run(config) for _ in range(3)}
    with ProcessPoolExecutor(8) as pool:
        claims = [claim for claim in pool.map(claim_in_a_process, range(8)) if claim is not None]
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


def test_a_file_that_is_no_database_is_refused_and_left_alone(home):
    home.mkdir(parents=True, exist_ok=True)
    path = home / "iapo.db"
    path.write_bytes(b"this is not a database, but somebody's notes" * 100)
    with pytest.raises(StoreError, match=r"cannot be used \(.*not a database"):
        Store.open()
    assert path.read_bytes().startswith(b"this is not a database")


def test_a_newer_schema_is_refused(home, store):
    with sqlite3.connect(home / "iapo.db") as connection:
        connection.execute("INSERT INTO iapo_schema VALUES (99)")
    connection.close()
    with pytest.raises(StoreError, match=r"newer IAPO \(schema 99"):
        Store.open()


def test_tables_of_other_software_are_refused(tmp_path):
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (x)")
    connection.close()
    with pytest.raises(StoreError, match="holds tables of other software"):
        Store.open(f"sqlite:///{path}")


def test_a_locked_database_is_a_sentence(home, store, config, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_S", 0)
    hasty = Store.open()
    blocker = sqlite3.connect(home / "iapo.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match=r"refuses \(database is locked\); nothing was changed"):
            hasty.create_run(config)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
        hasty.close()
    assert store.runs() == []
