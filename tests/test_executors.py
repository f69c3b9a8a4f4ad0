"""Executors lose nothing: a dead process or Dask worker costs time and no figure, and what cannot be reached is said in words."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import psutil
import pytest

from iapo_core.bench import chunks, dask_cluster
from iapo_core.bench.arenas import arena, content, deliver, opened, retract
from iapo_core.bench.chunks import Chunks
from iapo_core.bench.dask_cluster import DaskCluster
from iapo_core.bench.executors import InProcess, Pool, executor
from iapo_core.bench.spelled import algorithms
from iapo_core.bench.sweep import Sweep, read_rows
from iapo_core.cli import main
from iapo_core.errors import BenchError
from tests.pages import tiny
from tests.test_bench import OTHER, SMALL, figures

ROOT = Path(__file__).parents[1]
PATIENT_S = 120


@pytest.fixture
def table(tmp_path):
    """A count table in a file of its own."""
    rng = np.random.default_rng(0)
    path = tmp_path / "counted.npz"
    np.savez(
        path, counts=rng.integers(1, 9, (6, 30, 3)), answers=rng.integers(0, 3, 30), cost_per_prompt=np.full(6, 0.01),
        cost_weights=np.array([0.0, 1.0]), n_max=np.array(8),
    )  # fmt: skip
    return path


def sweep(*arenas, n_runs=12):
    return Sweep(tuple(arenas), algorithms("psst,psst-eb,uniform"), (60, 300), n_runs, 0)


class Cluster:
    """A Dask scheduler and workers as processes on loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False"}
        self.processes: list[subprocess.Popen] = []
        card = folder / "scheduler.json"
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(card))
        self.address = wait_for(lambda: card.exists() and card.read_text() and json.loads(card.read_text())["address"])

    def add_worker(self, name: str) -> subprocess.Popen:
        return self._start(
            "dask_worker", self.address, "--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
            "--local-directory", str(self._folder / name),
        )  # fmt: skip

    def _start(self, module: str, *arguments: str) -> subprocess.Popen:
        with (self._folder / f"{module}-{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                cwd=self._folder, env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def wait_for(look, seconds=PATIENT_S):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    yield started
    started.stop()


def test_a_killed_dask_worker_changes_no_figure(cluster, table, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_S", 0.1)
    bench = sweep(arena(str(table)), arena(SMALL), arena(OTHER))
    alone = bench.finish(tmp_path / "alone.parquet", InProcess())

    def take_away(made):
        files = content(made)
        Path(made.path).unlink()  # no worker can read it from here
        return files

    monkeypatch.setattr(dask_cluster, "content", take_away)
    victim = cluster.add_worker("victim")
    cluster.add_worker("survivor")
    killed_at = []
    with dask_cluster.Client(cluster.address, timeout=PATIENT_S, set_as_default=False) as observer:
        observer.wait_for_workers(2, timeout=PATIENT_S)
        known = observer.scheduler_info()["workers"]
        (address,) = (place for place, worker in known.items() if worker["name"] == "victim")

        def kill_when_busy(n_done):
            if 0 < n_done < len(alone) and not killed_at and observer.processing()[address]:
                os.kill(victim.pid, signal.SIGKILL)
                victim.wait()
                killed_at.append(n_done)

        shared = bench.finish(tmp_path / "shared.parquet", DaskCluster(cluster.address), kill_when_busy)
        assert len(observer.scheduler_info()["workers"]) == 1
    assert len(killed_at) == 1  # while it had runs in hand
    assert 0 < killed_at[0] < len(alone)
    assert figures(shared) == figures(alone)
    assert sorted(map(str, figures(read_rows(tmp_path / "shared.parquet")))) == sorted(map(str, figures(alone)))


def test_a_bench_whose_scheduler_dies_is_refused_in_words_and_goes_on_elsewhere(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_S", 0.1)
    bench, out = sweep(arena(SMALL)), tmp_path / "b.parquet"
    cluster.add_worker("worker")

    def kill(n_done):
        if n_done:
            cluster.processes[0].kill()
            cluster.processes[0].wait()

    with pytest.raises(BenchError, match="went away"):
        bench.finish(out, DaskCluster(cluster.address), kill)
    n_kept = len(read_rows(out))
    assert 0 < n_kept < len(bench.cells())
    seen = []
    rows = bench.finish(out, InProcess(), seen.append)
    assert seen[0] == n_kept
    assert figures(rows) == figures(bench.finish(tmp_path / "whole.parquet", InProcess()))


def test_runs_that_end_every_worker_are_given_up_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    monkeypatch.setattr(chunks, "run_cells", _die)
    started = Cluster(tmp_path)
    try:
        started.add_worker("mortal")
        with pytest.raises(BenchError, match="ended every Dask worker that took them"):
            sweep(arena(SMALL)).finish(tmp_path / "b.parquet", DaskCluster(started.address))
    finally:
        started.stop()


def test_no_worker_is_waited_for_only_so_long(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "PATIENCE_S", 0.5)
    monkeypatch.setattr(chunks, "_POLL_S", 0.1)
    with pytest.raises(BenchError, match="has had no worker"):
        sweep(arena(SMALL)).finish(tmp_path / "b.parquet", DaskCluster(cluster.address))


def test_a_killed_process_of_the_pool_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_S", 0.1)
    bench = sweep(arena(SMALL))
    killed = []

    def kill_once(n_done):
        if 0 < n_done < len(bench.cells()) and not killed:
            killed.append(active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    rows = bench.finish(tmp_path / "pool.parquet", Pool(2), kill_once)
    assert killed
    assert figures(rows) == figures(bench.finish(tmp_path / "alone.parquet", InProcess()))


def test_processes_of_a_killed_bench_end_too_and_the_same_command_goes_on(tmp_path):
    command = [
        sys.executable,
        "-m",
        "iapo_core.cli",
        "bench",
        SMALL,
        OTHER,
        "--algorithms",
        "psst,psst-eb,ucb",
        "--budgets",
        "300,600",
    ]
    command += ["--runs", "40", "--executor", "local:2", "--out", str(tmp_path / "b.parquet"), "--json"]
    with (tmp_path / "log").open("w") as log:
        bench = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    owner = psutil.Process(bench.pid)
    children = wait_for(lambda: len(owner.children()) >= 2 and owner.children())
    os.kill(bench.pid, signal.SIGKILL)
    bench.wait()
    _, alive = psutil.wait_procs(children, timeout=PATIENT_S)
    assert not alive
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENT_S, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["n_runs"] for line in lines if line["kind"] == "line"} == {40}


def test_a_pool_that_always_dies_is_given_up_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr("iapo_core.bench.chunks.run_cells", _die)
    with pytest.raises(BenchError, match="died 3 times"):
        sweep(arena(SMALL), n_runs=1).finish(tmp_path / "b.parquet", Pool(2))
    assert not (tmp_path / "b.parquet").exists()


def _die(cells, seed):
    os.kill(os.getpid(), signal.SIGKILL)


def test_chunks_keep_order_and_size_by_what_cells_took():
    cells = sweep(arena(SMALL)).cells()
    cut = Chunks(cells)
    first = cut.cut()
    assert first == cells[: len(first)]
    assert 1 <= len(first) < len(cells)
    cut.give_back(first)
    rows = [
        {"environment": c.arena.name, "algorithm": c.algorithm.label, "budget": c.budget, "wall_s": chunks.CHUNK_S / 20}
        for c in cells
    ]
    cut.learn(rows)
    assert cut.cut() == cells[:20]
    rest = []
    while cut:
        rest += cut.cut()
    assert rest == cells[20:]


def test_delivered_files_are_opened_instead_of_the_path(table, tmp_path):
    made = arena(str(table))
    files = content(made)
    table.unlink()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    opened.cache_clear()
    deliver(made, files, folder)
    assert opened(made).n_queries == 30
    opened.cache_clear()
    retract(made, folder)
    with pytest.raises(BenchError.__base__, match=r"counted\.npz"):
        opened(made)
    opened.cache_clear()


@pytest.mark.parametrize("spelled", ["", "task.json"], ids=["folder", "file"])
def test_a_recorded_task_is_delivered_whole(tmp_path, spelled):
    tiny.write_tasks(tmp_path / "here")
    place = tmp_path / "here" / tiny.VOTE / spelled
    made = arena(str(place))
    curves = opened(made).reward_curves(np.arange(10), np.ones((1, 1)))
    folder = tmp_path / "there"
    folder.mkdir()
    deliver(made, content(made), folder)
    shutil.rmtree(tmp_path / "here")
    opened.cache_clear()
    assert (opened(made).reward_curves(np.arange(10), np.ones((1, 1))) == curves).all()
    retract(made, folder)
    opened.cache_clear()


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("dask://", "no address of a Dask scheduler"),
        ("dask://somewhere", "no address of a Dask scheduler"),
        ("dask://127.0.0.1:99999", "no address of a Dask scheduler"),
        ("dask:127.0.0.1:8786", "no address of a Dask scheduler"),
        ("local:0", "no executor 'local:0'"),
        ("local:many", "no executor 'local:many'"),
    ],
)
def test_bad_spellings_are_refused(spelling, words, tmp_path, capsys):
    assert main(["bench", SMALL, "--executor", spelling, "--out", str(tmp_path / "x.parquet")]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_address_without_a_scheduler_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_CONNECT_S", 1.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert main(["bench", SMALL, "--executor", f"dask://127.0.0.1:{port}", "--out", str(tmp_path / "x.parquet")]) == 2
    assert "There is no Dask scheduler at" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "iapo_core.bench.dask_cluster")
    with pytest.raises(BenchError, match=r"iapo\[cluster\]"):
        executor("dask://127.0.0.1:8786")


def test_spellings_give_their_executor():
    assert isinstance(executor("local:1"), InProcess)
    assert isinstance(executor("local:3"), Pool)
    assert isinstance(executor("dask://127.0.0.1:8786"), DaskCluster)
