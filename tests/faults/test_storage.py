"""The disk is full, the lock is held, the server drops its connections: nothing is lost, and the run goes on afterwards."""

import os
import sqlite3

import pytest
from sqlalchemy import make_url, text

from iapo_core.events import to_json
from iapo_core.runs import engine
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished
from tests.faults import dying
from tests.faults.test_kills import PATIENCE_S, check_as_if_undisturbed, finish_it
from tests.runs.test_store import events_of


@pytest.mark.parametrize("room", [0, 8_192, 30_000])
def test_a_full_disk_stops_the_run_and_loses_nothing(home, config, room):
    reference = [to_json(event) for event in events_of(config)]
    store = Store.open()
    run_id = store.create_run(config)
    path = str(home / "iapo.db")
    process = dying.spawn(dying.work_on_a_full_disk, f"sqlite:///{path}", path, room)
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    kept = [payload for _, payload in store.payloads(run_id)]
    assert len(kept) < len(reference)  # the fault fired
    assert kept == reference[: len(kept)]
    with store._read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    run = store.run(run_id)
    assert run.state in ("queued", "running", "failed")
    if run.state == "failed":
        assert "refuses" in run.message
        store.request(run_id, "resume")
    finish_it(store, run_id)
    check_as_if_undisturbed(store, run_id, reference)
    store.close()


def test_a_lock_held_too_long_fails_the_run_in_words_and_resume_goes_on(home, config, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_S", 0)
    reference = [to_json(event) for event in events_of(config)]
    store = Store.open()
    run_id = store.create_run(config)
    blocker = sqlite3.connect(home / "iapo.db", isolation_level=None)
    append, attempts = Store.append, []

    def blocked_once(self, claim, seq, event):
        attempts.append(seq)
        if attempts == [1, 2, 3]:
            blocker.execute("BEGIN IMMEDIATE")
            try:
                append(self, claim, seq, event)
            finally:
                blocker.execute("ROLLBACK")
        else:
            append(self, claim, seq, event)

    monkeypatch.setattr(Store, "append", blocked_once)
    ensure_finished(store, run_id)
    run = store.run(run_id)
    assert run.state == "failed"
    assert "database is locked" in run.message
    assert len(store.payloads(run_id)) == 2
    store.request(run_id, "resume")
    ensure_finished(store, run_id)
    check_as_if_undisturbed(store, run_id, reference)
    blocker.close()
    store.close()


def test_connections_that_the_server_drops_are_made_anew(store, backend, config):
    if not backend.startswith("postgresql"):
        pytest.skip("a file has no server")
    import psycopg

    run_id = store.create_run(config)
    server = make_url(os.environ["IAPO_TEST_POSTGRES_URL"]).render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        database = make_url(backend).database
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        assert connection.execute(query, [database]).fetchall()
    ensure_finished(store, run_id)
    assert store.run(run_id).state == "finished"
    with store._read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM events")).scalar() == len(events_of(config))
