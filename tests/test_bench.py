"""Benches: the same figures from any executor, nothing done twice, and a table that says what the rows say."""

import json
from itertools import islice

import numpy as np
import pytest
from scipy.stats import wilcoxon

from iapo_core.bench import arenas
from iapo_core.bench.arenas import arena, bout
from iapo_core.bench.cells import run_seed, split_seed
from iapo_core.bench.executors import InProcess, Pool, executor
from iapo_core.bench.spelled import algorithms
from iapo_core.bench.summary import summarise, table
from iapo_core.bench.sweep import Sweep, budgets, read_rows
from iapo_core.cli import main
from iapo_core.errors import BenchError

SMALL = "synth-bernoulli:1:prompts=4,queries=20,n_max=4"
OTHER = "synth-categorical:1:prompts=3,queries=16,n_max=3"


def sweep(*, n_runs=5, names="psst,psst-eb[depth=2],oracle", seed=0):
    return Sweep((arena(SMALL), arena(OTHER)), algorithms(names), (40, 90), n_runs, seed)


def figures(rows):
    return [{key: value for key, value in row.items() if key != "wall_s"} for row in rows]


def test_the_executor_changes_no_figure(tmp_path):
    here = sweep().finish(tmp_path / "here.parquet", InProcess())
    pool = sweep().finish(tmp_path / "pool.parquet", Pool(2))
    assert len(here) == 2 * 3 * 2 * 5
    assert figures(here) == figures(pool)
    assert all(0 <= row["spent"] <= row["budget"] for row in here)
    assert all(row["acr"] <= row["oracle"] + 1e-12 for row in here)


class _Breaks(InProcess):
    def run(self, cells, seed):
        made = super().run(cells, seed)
        yield from islice(made, 20)
        raise KeyboardInterrupt


class _Counts(InProcess):
    n_cells = 0

    def run(self, cells, seed):
        self.n_cells = len(cells)
        yield from super().run(cells, seed)


def test_an_interrupted_bench_goes_on_where_it_stopped(tmp_path):
    out = tmp_path / "bench.parquet"
    with pytest.raises(KeyboardInterrupt):
        sweep().finish(out, _Breaks())
    n_kept = len(read_rows(out))
    assert n_kept == 20
    rest = _Counts()
    rows = sweep().finish(out, rest)
    assert rest.n_cells == 60 - n_kept
    assert figures(rows) == figures(sweep().finish(tmp_path / "whole.parquet", InProcess()))
    grown = _Counts()
    assert figures(sweep(n_runs=6).finish(out, grown))[:30] == figures(rows)[:30]
    assert grown.n_cells == 12


def test_margins_are_judged_and_older_files_that_did_not_are_read(tmp_path):
    import pyarrow.parquet as pq

    out = tmp_path / "bench.parquet"
    rows = sweep(n_runs=4, names="psst").finish(out, InProcess())
    assert sum(row["differences_judged"] for row in rows) > 0
    assert all(0 <= row["differences_covered"] <= row["differences_judged"] <= 27 for row in rows)
    table_ = pq.read_table(out)
    pq.write_table(table_.drop_columns(["differences_judged", "differences_covered"]), out)
    older = read_rows(out)
    assert sorted(row["acr"] for row in older) == sorted(row["acr"] for row in rows)
    assert {row["differences_judged"] for row in older} == {0}


def test_another_seed_and_foreign_files_are_refused(tmp_path):
    out = tmp_path / "bench.parquet"
    sweep(n_runs=1, names="random").finish(out, InProcess())
    before = out.read_bytes()
    with pytest.raises(BenchError, match="seed 0, not 1"):
        sweep(n_runs=1, names="random", seed=1).finish(out, InProcess())
    assert out.read_bytes() == before
    foreign = tmp_path / "notes.parquet"
    foreign.write_text("my notes")
    with pytest.raises(BenchError, match="no bench of ours"):
        sweep().finish(foreign, InProcess())
    assert foreign.read_text() == "my notes"


def test_the_table_says_what_the_rows_say(tmp_path):
    rows = sweep(n_runs=8).finish(tmp_path / "bench.parquet", InProcess())
    lines = summarise(rows, "psst")
    mine = [row for row in rows if row["environment"] == SMALL and row["budget"] == 90]
    eb = np.array([row["acr"] for row in mine if row["algorithm"] == "psst-eb[depth=2]"])
    psst = np.array([row["acr"] for row in mine if row["algorithm"] == "psst"])
    line = next(x for x in lines if (x.environment, x.budget, x.algorithm) == (SMALL, 90, "psst-eb[depth=2]"))
    assert line.acr == pytest.approx(eb.mean())
    assert line.sem == pytest.approx(eb.std(ddof=1) / np.sqrt(8))
    assert line.p == pytest.approx(wilcoxon(eb - psst).pvalue, nan_ok=True)
    assert line.is_simulated
    assert any("SIMULATED" in text for text in table(lines, "psst"))


def test_seeds_are_children_of_one_sequence():
    seeds = {split_seed(0, run) for run in range(50)} | {run_seed(0, run, b) for run in range(50) for b in (10, 20)}
    assert len(seeds) == 150
    assert split_seed(0, 3) == split_seed(0, 3) != split_seed(1, 3)


def test_a_bout_knows_its_limit():
    scene = bout(arena(SMALL), 7)
    assert scene.limit <= scene.oracle + 1e-12
    assert not set(scene.environment.split.train) & set(scene.environment.split.heldout)


@pytest.mark.parametrize("name", [SMALL, OTHER, f"{OTHER},population=40"])
@pytest.mark.parametrize("most_bytes", [0, 2**20], ids=["computed", "remembered"])
def test_what_a_bout_remembers_is_what_the_environment_says(name, most_bytes, monkeypatch):
    monkeypatch.setattr(arenas, "_MOST_BYTES", most_bytes)
    for cached in (arenas.bout, arenas._truth, arenas._remembered):
        cached.cache_clear()
    for seed in (3, 4):
        scene = bout(arena(name), seed)
        environment = scene.environment
        assert scene.q_train == pytest.approx(environment.q_values(environment.split.train))
        assert scene.q_heldout == pytest.approx(environment.q_values(environment.split.heldout))
        assert scene.limit == pytest.approx(environment.limit().acr)
        assert scene.oracle == pytest.approx(environment.oracle().acr)
        assert scene.truth == pytest.approx(environment.q_values(np.arange(environment.n_queries)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.npz"], "There is no"),
        (["synth-bernoulli:x"], "needs a seed"),
        (["synth-bernoulli:1:colour=3"], "no option 'colour'"),
        ([SMALL, "--algorithms", "psst,magic"], "no algorithm 'magic'"),
        ([SMALL, "--algorithms", "psst,psst"], "named twice"),
        ([SMALL, "--algorithms", "psst-eb[depth=deep]"], "depth is a whole number or none"),
        ([SMALL, "--budgets", "0"], "at least 1"),
        ([SMALL, "--runs", "0"], "at least 1"),
        ([SMALL, "--executor", "moon:3"], "no executor"),
        ([SMALL, "--reference", "uniform"], "not among"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments, words, tmp_path, capsys):
    assert main(["bench", *arguments, "--out", str(tmp_path / "x.parquet")]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_and_json(tmp_path, capsys):
    command = ["bench", SMALL, "--algorithms", "psst,oracle", "--budgets", "40", "--runs", "3", "--executor", "local:1"]
    command += ["--out", str(tmp_path / "x.parquet")]
    assert main(command) == 0
    assert "regret" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["algorithm"] for line in lines] == ["psst", "oracle"]
    assert lines[0]["n_runs"] == 3


def test_executors_and_budgets_by_their_spelling():
    assert isinstance(executor("local:1"), InProcess)
    assert isinstance(executor("local:3"), Pool)
    assert budgets("1_000,500, 500") == (1000, 500)
