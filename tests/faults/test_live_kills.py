"""Live runs whose worker dies at a chosen point or at random, sleeps, runs out of memory, sees the clock jump or the store refuse.

The server's own count is the bill. Afterwards the run is the one that nobody disturbed: same trims, same picks.
"""

import os
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest
from sqlalchemy import make_url, text

from iapo_core.events import Trimmed, to_json
from iapo_core.runs.ledger import spending
from iapo_core.runs.worker import work
from tests.faults import dying
from tests.faults.living import CANARY, SLOT, clever, live_config
from tests.faults.server import FaultServer
from tests.faults.test_kills import PATIENCE_S, finish_it, is_asleep, token_of
from tests.faults.test_live_runs import essence

R = 8


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)


@pytest.fixture
def server():
    with FaultServer(text=clever, delay_s=0.005) as running:
        yield running


def config(server, identity, **changes):
    return live_config(server, identity=identity, **{"allowance": R, "route": "direct", "deadline_s": 60.0, **changes})


@pytest.fixture
def undisturbed(store, server):
    """What a run decides that nobody disturbed."""
    run_id = store.create_run(config(server, "undisturbed"))
    finish_it(store, run_id, 60.0)
    events, policy = essence(store, run_id)
    assert sum(isinstance(event, Trimmed) for _, event in store.events(run_id)) >= 2
    assert server.stats.billed == spending(store, run_id).bought > 50
    return [event for event in events if '"kind":"trimmed"' in event.replace(" ", "")], policy


def check(store, server, run_id, before, undisturbed):
    """The run has ended as if nothing had happened, and its bill is within its caps."""
    run, now = store.run(run_id), spending(store, run_id)
    assert (run.state, run.message) == ("finished", "")
    trims = [to_json(event) for _, event in store.events(run_id) if isinstance(event, Trimmed)]
    assert trims
    assert (trims, run.policy) == undisturbed
    billed = server.stats.billed - before
    assert now.bought - now.lost <= billed <= now.bought <= now.cap + now.allowance
    with store._read() as connection:
        twice = text(
            "SELECT COUNT(*) FROM completions WHERE run_id = :id AND state = 'settled' GROUP BY cell, sample HAVING COUNT(*) > 1"
        )
        assert connection.execute(twice, {"id": run_id}).all() == []  # what was finished was never bought again
    return now


@pytest.mark.parametrize("nth", [1, 9])
@pytest.mark.parametrize("point", dying.POINTS)
def test_kill_9_at_each_point_between_reserving_and_settling(store, backend, server, undisturbed, point, nth):
    before = server.stats.billed
    run_id = store.create_run(config(server, f"{point} {nth}"))
    process = dying.spawn(dying.die_buying, backend, point, nth)
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL
    assert store.run(run_id).state == "running"
    finish_it(store, run_id, 60.0)
    now = check(store, server, run_id, before, undisturbed)
    assert now.lost <= 4  # at most what was in flight
    if (point, nth) != ("before reserve", 1):
        assert now.lost > 0 or point in ("before reserve", "after settle")


@pytest.mark.parametrize("seed", range(int(os.environ.get("IAPO_TEST_KILLS", "2"))))
def test_kill_9_at_random_moments_until_the_run_is_done(store, backend, server, undisturbed, seed):
    rng = np.random.default_rng(seed)
    before = server.stats.billed
    run_id = store.create_run(config(server, f"random {seed}", allowance=200))
    n_killed = 0
    while store.run(run_id).is_active:
        point = dying.POINTS[rng.integers(len(dying.POINTS))]
        process = dying.spawn(dying.die_buying, backend, point, int(rng.integers(2, 12)), signal.SIGKILL, 0.5)
        process.join(PATIENCE_S)
        n_killed += process.exitcode == -signal.SIGKILL
        assert n_killed < 200
    now = check(store, server, run_id, before, undisturbed)
    assert n_killed >= 3
    assert now.lost <= 4 * n_killed
    print(f"kills {n_killed}, lost {now.lost}, bought {now.bought}, billed {server.stats.billed - before}")


def test_a_worker_that_sleeps_with_calls_in_flight_changes_nothing_when_it_wakes(store, backend, server, undisturbed):
    before = server.stats.billed
    run_id = store.create_run(config(server, "asleep"))
    process = dying.spawn(dying.die_buying, backend, "after reserve", 5, signal.SIGSTOP, 2.0)
    until = time.monotonic() + PATIENCE_S
    while not is_asleep(process.pid):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(2.1)
    finish_it(store, run_id, 60.0)
    assert token_of(store, run_id) == 2
    settled = rows(store, run_id)
    os.kill(process.pid, signal.SIGCONT)
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    assert rows(store, run_id) == settled
    assert 0 < check(store, server, run_id, before, undisturbed).lost <= 4


def rows(store, run_id):
    with store._read() as connection:
        query = "SELECT cell, sample, attempt, state, token, text FROM completions WHERE run_id = :id ORDER BY 1, 2, 3"
        return connection.execute(text(query), {"id": run_id}).all()


def test_a_worker_without_memory_stops_and_the_run_goes_on_elsewhere(store, backend, server, undisturbed):
    before = server.stats.billed
    run_id = store.create_run(config(server, "memory"))
    process = dying.spawn(dying.work_with_little_memory, backend, 8 << 20)
    process.join(PATIENCE_S)
    assert store.run(run_id).state != "finished"  # the fault fired
    if not store.run(run_id).is_active:
        assert "worker's log has the details" in store.run(run_id).message
        store.request(run_id, "resume")
    finish_it(store, run_id, 60.0)
    check(store, server, run_id, before, undisturbed)


def test_a_clock_that_jumps_by_a_day_loses_nothing(store, server, undisturbed, monkeypatch):
    before, clock, jumps = server.stats.billed, time.time, []

    def jumping():
        jumps.append(86_400 * ((len(jumps) // 25) % 3 - 1))  # a day back, right, a day ahead, in turn
        return clock() + jumps[-1]

    run_id = store.create_run(config(server, "clock"))
    monkeypatch.setattr(time, "time", jumping)
    work(store, idle_s=0, lease_s=60.0)
    monkeypatch.undo()
    assert set(jumps) == {-86_400, 0, 86_400}
    os.environ[SLOT] = CANARY
    assert check(store, server, run_id, before, undisturbed).lost == 0


def test_eight_processes_at_a_barrier_pay_once_for_the_same_task(store, backend, server, undisturbed):
    before = server.stats.requests
    ids = [store.create_run(config(server, "eight", allowance=0)) for _ in range(8)]
    barrier = dying.barrier(8)
    workers = [dying.spawn(dying.work_at_a_barrier, backend, barrier) for _ in range(8)]
    for process in workers:
        process.join(4 * PATIENCE_S)
        assert process.exitcode == 0
    for run_id in ids:
        assert store.run(run_id).policy == undisturbed[1], store.run(run_id).message
    paid = [spending(store, run_id) for run_id in ids]
    assert sum(now.bought for now in paid) == server.stats.requests - before <= 120
    assert sum(now.lost + now.failed for now in paid) == 0
    assert sum(now.reused for now in paid) == 7 * sum(now.bought for now in paid)


def test_a_lock_that_is_held_for_a_while_is_waited_out(home, store, backend, server, undisturbed):
    if not backend.startswith("sqlite"):
        pytest.skip("a server locks rows")
    before = server.stats.billed
    run_id = store.create_run(config(server, "locked"))
    working = threading.Thread(target=finish_it, args=(store, run_id, 60.0))
    working.start()
    until = time.monotonic() + PATIENCE_S
    while server.stats.billed - before < 10:
        assert time.monotonic() < until
        time.sleep(0.001)
    blocker = sqlite3.connect(home / "iapo.db", isolation_level=None, timeout=PATIENCE_S)
    blocker.execute("BEGIN IMMEDIATE")
    held = server.stats.billed
    time.sleep(1.5)
    assert server.stats.billed - held <= 4  # no row, no call
    blocker.execute("ROLLBACK")
    blocker.close()
    working.join(PATIENCE_S)
    assert check(store, server, run_id, before, undisturbed).lost == 0


def test_a_server_that_drops_its_connections_in_the_middle_costs_nothing(store, backend, server, undisturbed):
    if not backend.startswith("postgresql"):
        pytest.skip("a file has no server")
    import psycopg

    before = server.stats.billed
    run_id = store.create_run(config(server, "dropped"))
    working = threading.Thread(target=work, args=(store,), kwargs={"idle_s": 0, "lease_s": 60.0})
    working.start()
    until = time.monotonic() + PATIENCE_S
    while server.stats.billed - before < 10:
        assert time.monotonic() < until
        time.sleep(0.001)
    address = make_url(os.environ["IAPO_TEST_POSTGRES_URL"]).render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        assert connection.execute(query, [make_url(backend).database]).fetchall()
    working.join(PATIENCE_S)
    if not store.run(run_id).is_active and store.run(run_id).state != "finished":
        assert "refuses" in store.run(run_id).message
        store.request(run_id, "resume")
    finish_it(store, run_id, 60.0)
    check(store, server, run_id, before, undisturbed)
