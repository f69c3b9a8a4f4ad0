"""Benches of the dashboard run in a process of their own: begun once, stopped, killed, gone on with, never two at a time."""

import os
import signal
import time

import pytest

from iapo_core.bench.executors import InProcess
from iapo_core.errors import BenchError
from iapo_core.runs import bench_worker, benches, catalogue
from iapo_core.runs.bench_files import Progress, hold, root, tell, told
from tests.pages import tiny

PATIENT_S = 120


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with two small tasks, and nothing of the machine's own."""
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path))
    tiny.write_tasks(tmp_path / "tasks")
    monkeypatch.setattr(catalogue, "samples_dir", lambda: tmp_path / "none")
    yield tmp_path
    for process in benches._STARTED:
        process.kill()
        process.wait()
    benches._STARTED.clear()


@pytest.fixture
def unspawned(monkeypatch):
    """Count processes instead of starting them."""
    begun = []
    monkeypatch.setattr(benches, "_spawn", begun.append)
    return begun


def asked(*, names=("psst", "random"), amounts="40, 80", n_runs=3, tasks=(tiny.VOTE, tiny.BEST)):
    return benches.request(tasks, names, amounts, n_runs)


def rest(bench_id):
    """Wait until a bench is in no process any more."""
    deadline = time.monotonic() + PATIENT_S
    while (state := benches.progress(bench_id)).is_active:
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    return state


def test_a_bench_is_made_by_a_process_of_its_own(data):
    bench_id = benches.start(asked())
    assert benches.known() == [bench_id]
    state = rest(bench_id)
    assert (state.state, state.n_done, state.n_total) == ("finished", 24, 24)
    rows = benches.rows(bench_id)
    assert [(row["environment"], row["budget"], row["algorithm"]) for row in rows[:4]] == [
        (tiny.VOTE, 40, "psst"), (tiny.VOTE, 40, "random"), (tiny.VOTE, 80, "psst"), (tiny.VOTE, 80, "random"),
    ]  # fmt: skip
    assert len(rows) == 24
    grown = benches.start(asked(n_runs=4))
    assert grown != bench_id
    state = rest(grown)
    assert (state.state, state.n_done, state.n_kept) == ("finished", 32, 24)  # what the other made was used


def test_however_often_it_is_started_one_process_begins(data, unspawned):
    ids = {benches.start(asked()) for _ in range(5)}
    assert len(ids) == len(unspawned) == 1
    bench_worker.work(unspawned[0], InProcess())
    assert benches.progress(*ids).state == "finished"
    assert {benches.start(asked())} == ids
    assert len(unspawned) == 1


def test_one_at_a_time(data, unspawned):
    first = benches.start(asked())
    with pytest.raises(BenchError, match=f"Another bench is being made \\({first}\\)"):
        benches.start(asked(n_runs=5))
    lock = hold(wait_s=0)
    bench_worker.work(unspawned[0], InProcess())  # a second process for the same bench looks and goes
    assert benches.progress(first).state == "starting"
    lock.close()


def test_a_wish_to_stop_keeps_what_was_made(data, unspawned):
    bench_id = benches.start(asked())
    benches.cancel(bench_id)
    bench_worker.work(unspawned[0], InProcess())
    assert benches.progress(bench_id).state == "stopped"
    assert benches.start(asked()) == bench_id
    assert len(unspawned) == 2
    bench_worker.work(unspawned[1], InProcess())
    assert benches.progress(bench_id).state == "finished"


def test_a_killed_bench_says_so_and_goes_on_without_doing_anything_twice(data):
    long = asked(names=("psst-eb", "psst", "ucb"), amounts="400, 800, 1600", n_runs=60)
    bench_id = benches.start(long)
    deadline = time.monotonic() + PATIENT_S
    while not (state := benches.progress(bench_id)).n_done:
        assert state.is_active
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert state.state == "running"
    (process,) = benches._STARTED
    os.kill(process.pid, signal.SIGTERM)  # a shutdown lets it keep what it made
    process.wait(timeout=PATIENT_S)
    state = benches.progress(bench_id)
    assert state.state == "stopped"
    n_kept = len(benches.rows(bench_id))
    assert 0 < n_kept < long.n_cells
    benches.start(long)
    while not (state := benches.progress(bench_id)).n_kept:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert state.n_kept == n_kept
    benches._STARTED[-1].kill()
    benches._STARTED[-1].wait()
    state = benches.progress(bench_id)
    assert state.state == "interrupted"
    assert not state.is_active
    assert len(benches.rows(bench_id)) >= n_kept


def test_a_task_that_changed_meanwhile_is_refused(data, unspawned):
    bench_id = benches.start(asked(tasks=(tiny.VOTE,)))
    place = data / "tasks" / tiny.VOTE / "task.json"
    place.write_text(place.read_text() + "\n")
    bench_worker.work(unspawned[0], InProcess())
    state = benches.progress(bench_id)
    assert state.state == "failed"
    assert "has changed since" in state.message


def test_another_version_makes_a_bench_of_its_own(data, unspawned, monkeypatch):
    bench_id = benches.start(asked())
    bench_worker.work(unspawned[0], InProcess())
    assert len(benches.rows(bench_id)) == 24
    monkeypatch.setattr(benches, "this_version", lambda: "01234567")
    other = benches.start(asked())
    assert other != bench_id
    assert benches.rows(other) == []
    bench_worker.work(unspawned[1], InProcess())
    assert "another version" in benches.progress(other).message
    monkeypatch.undo()
    monkeypatch.setenv("IAPO_DATA_DIR", str(data))
    monkeypatch.setattr(catalogue, "samples_dir", lambda: data / "none")
    assert benches.go_on(other) == bench_id  # the same bench by today's software, finished already
    assert len(benches.rows(bench_id)) == 24


def test_an_unexpected_error_is_a_state_too(data, unspawned):
    bench_id = benches.start(asked())

    class Broken(InProcess):
        def run(self, cells, seed):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench_worker.work(unspawned[0], Broken())
    assert benches.progress(bench_id).state == "failed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tasks": ()}, "at least one task"),
        ({"names": ()}, "at least one task and one algorithm"),
        ({"amounts": "many"}, "whole number of completions"),
        ({"amounts": "60000"}, "at most 50,000 completions per budget"),
        ({"n_runs": 201}, "at most 200 repetitions"),
        ({"n_runs": 200, "amounts": "1,2,3,4,5,6"}, "at most 4,000 runs in all"),
        ({"n_runs": 200, "amounts": "40000"}, "at most 20,000,000 completions in all"),
    ],
)
def test_what_a_dashboard_should_not_begin_is_refused(data, arguments, words):
    with pytest.raises(BenchError, match=words):
        asked(**arguments)
    assert benches.known() == []


@pytest.mark.parametrize("bench_id", ["0123456789ab", "../../etc", ""])
def test_an_id_that_is_none_is_refused(data, bench_id):
    for ask in (benches.asked_of, benches.progress, benches.rows, benches.cancel):
        with pytest.raises(BenchError, match="There is no bench"):
            ask(bench_id)


def test_a_process_that_never_spoke_and_time_left(data, unspawned):
    bench_id = benches.start(asked())
    folder = root() / bench_id
    tell(folder, Progress("starting", 0, 24, told_at=time.time() - 1_000))
    assert benches.progress(bench_id).state == "interrupted"
    (folder / "progress.json").write_text("torn")
    assert told(folder) is None
    assert benches.progress(bench_id).state == "interrupted"
    half = Progress("running", 12, 20, started_at=100.0, told_at=110.0, n_kept=2)
    assert half.left_s == pytest.approx(8.0)  # ten runs in ten seconds, eight are left
    assert Progress("running", 2, 20, n_kept=2).left_s != Progress("running", 2, 20, n_kept=2).left_s
