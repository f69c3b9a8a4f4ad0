"""`iapo bench`: algorithms against each other on environments whose truth or recording is at hand; nothing is bought."""

from __future__ import annotations

import argparse
import json
import sys
from math import isfinite
from pathlib import Path

from tqdm import tqdm

from iapo_core.bench.arenas import Arena, arena
from iapo_core.bench.executors import executor
from iapo_core.bench.reach import reach_table, reaches
from iapo_core.bench.spelled import algorithms
from iapo_core.bench.summary import summarise, table
from iapo_core.bench.sweep import Sweep, budgets
from iapo_core.errors import BenchError
from iapo_core.runs.catalogue import task_entry


def bench(arguments: argparse.Namespace) -> None:
    """Make or finish a sweep and print its table.

    Raises:
        IapoError: If something asked for cannot be used; then nothing was run.
    """
    if arguments.runs < 1 or arguments.seed < 0:
        raise BenchError("--runs is at least 1 and --seed at least 0.")
    chosen = algorithms(arguments.algorithms)
    reference = arguments.reference or chosen[0].label
    if reference not in [algorithm.label for algorithm in chosen]:
        raise BenchError(f"The reference {reference!r} is not among the algorithms {', '.join(one.label for one in chosen)}.")
    for file in filter(None, (arguments.out, arguments.html)):
        if not file.parent.is_dir():
            raise BenchError(f"{file.parent} is not a folder; create it, or write elsewhere.")
    runner = executor(arguments.executor)
    arenas = tuple(dict.fromkeys(_arena(text) for text in arguments.environments))
    if twice := len(arenas) - len({one.name for one in arenas}):
        raise BenchError(f"{twice + 1} environments have the same name; rename one of the files.")
    sweep = Sweep(arenas, chosen, budgets(arguments.budgets), arguments.runs, arguments.seed)
    with tqdm(total=len(sweep.cells()), unit="run", disable=None, file=sys.stderr) as bar:
        rows = sweep.finish(arguments.out, runner, lambda done: bar.update(done - bar.n))
    lines, found = summarise(rows, reference), reaches(rows, reference)
    if arguments.html:
        from iapo_core.outputs.bench_page import bench_page

        arguments.html.write_text(bench_page(lines, found, reference), encoding="utf-8")
    if arguments.json:
        for line in lines:
            print(json.dumps({"kind": "line", **_finite(line._asdict())}))
        for one in found:
            print(json.dumps({"kind": "reach", **_finite(one._asdict()), "ratio": one.ratio}))
        return
    print("\n".join([*table(lines, reference), *reach_table(found)]))
    print(f"\nEvery run is in {arguments.out}.")


def _arena(text: str) -> Arena:
    entry = None if Path(text).exists() or ":" in text else task_entry(text)
    return arena(text, entry.path if entry else None)


def _finite(fields: dict[str, object]) -> dict[str, object]:
    """JSON has neither nan nor infinity."""
    return {key: _finite(value) if isinstance(value, dict) else _number(value) for key, value in fields.items()}


def _number(value: object) -> object:
    return None if isinstance(value, float) and not isfinite(value) else value
