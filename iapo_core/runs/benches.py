"""Benches that outlive the tab that asked for them: a process of their own, one at a time, found again by id.

Results of an environment are kept by its content, so a bench that asks for more makes only what is missing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from iapo_core.bench.arenas import Arena, arena
from iapo_core.bench.cells import Row
from iapo_core.bench.spelled import algorithms
from iapo_core.bench.sweep import budgets, read_rows
from iapo_core.errors import BenchError
from iapo_core.runs.bench_files import Asked, BenchRequest, Progress, is_held, results, root, tell, this_version, told
from iapo_core.runs.catalogue import task_entry

MOST_RUNS = 200
MOST_BUDGET = 50_000
MOST_CELLS = 4_000
MOST_COMPLETIONS = 20_000_000
_START_S = 60.0  # a process that has said nothing by then has died
_STARTED: list[subprocess.Popen[bytes]] = []


def request(tasks: Sequence[str], names: Sequence[str], amounts: str, n_runs: int) -> BenchRequest:
    """Check what a page asks for.

    Raises:
        BenchError: If it is no bench, or larger than a dashboard should begin.
        IapoError: If a task cannot be used.
    """
    if not tasks or not names:
        raise BenchError("A bench needs at least one task and one algorithm; choose some.")
    arenas = [arena(task, task_entry(task).path) for task in tasks]
    if len({one.name for one in arenas}) < len(arenas):
        raise BenchError("Two of these tasks have the same name; compare them one after the other.")
    made = BenchRequest(
        made_by=this_version(),
        tasks=tuple(Asked(task=task, name=one.name, digest=one.digest) for task, one in zip(tasks, arenas, strict=True)),
        algorithms=tuple(one.label for one in algorithms(",".join(names))),
        budgets=budgets(amounts),
        n_runs=n_runs,
    )
    drawn = made.n_cells // len(made.budgets) * sum(made.budgets)
    for value, most, what in (
        (n_runs, MOST_RUNS, "repetitions"),
        (max(made.budgets), MOST_BUDGET, "completions per budget"),
        (made.n_cells, MOST_CELLS, "runs in all"),
        (drawn, MOST_COMPLETIONS, "completions in all"),
    ):
        if value > most:
            raise BenchError(
                f"A bench here has at most {most:,} {what}, and this one {value:,}; ask for less, or use iapo bench on the command "
                "line, which has no such limit."
            )
    return made


def start(asked: BenchRequest) -> str:
    """See to it that a process makes this bench, and return its id; one that is being made or is finished is left alone.

    Raises:
        BenchError: If another bench is being made.
    """
    folder = root() / asked.id
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "request.json").exists() and progress(asked.id).state in ("starting", "running", "finished"):
        return asked.id
    if (other := running()) is not None:
        raise BenchError(f"Another bench is being made ({other}); wait until it ends, or cancel it.")
    (folder / "request.json").write_text(asked.model_dump_json(), encoding="utf-8")
    (folder / "cancel").unlink(missing_ok=True)
    tell(folder, Progress("starting", 0, asked.n_cells, told_at=time.time()))
    _spawn(folder)
    return asked.id


def go_on(bench_id: str) -> str:
    """Start a bench again with the tasks and the software as they are now, and return its id, another one if those changed.

    Raises:
        IapoError: As `request` and `start` do.
    """
    asked = asked_of(bench_id)
    tasks = [one.task for one in asked.tasks]
    return start(request(tasks, asked.algorithms, ",".join(map(str, asked.budgets)), asked.n_runs))


def _spawn(folder: Path) -> None:
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]  # reaps those that have ended
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "iapo_core.runs.bench_worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
    _STARTED.append(process)


def cancel(bench_id: str) -> None:
    """Ask for a bench to be stopped; what it made is kept, and started again it goes on.

    Raises:
        BenchError: If there is no such bench.
    """
    asked_of(bench_id)
    (root() / bench_id / "cancel").touch()


def known() -> list[str]:
    """Return the ids of all benches that can be read, the one asked for last first."""
    found = sorted(root().glob("*/request.json"), key=lambda path: -path.stat().st_mtime_ns)
    return [path.parent.name for path in found if _read(path.parent.name) is not None]


def running() -> str | None:
    """Return the id of the bench that is being made, None if there is none."""
    return next((one for one in known() if progress(one).is_active), None)


def asked_of(bench_id: str) -> BenchRequest:
    """Return what a bench compares.

    Raises:
        BenchError: If there is no such bench.
    """
    asked = _read(bench_id)
    if asked is None:
        raise BenchError(f"There is no bench {bench_id!r} in this data folder; start one.")
    return asked


def _read(bench_id: str) -> BenchRequest | None:
    if not re.fullmatch("[0-9a-f]{12}", bench_id):
        return None
    try:
        return BenchRequest.model_validate_json((root() / bench_id / "request.json").read_bytes())
    except (OSError, ValidationError):  # removed meanwhile, or written by another version
        return None


def progress(bench_id: str) -> Progress:
    """Return how a bench stands; one whose process is gone without a word is interrupted.

    Raises:
        BenchError: If there is no such bench.
    """
    asked, folder = asked_of(bench_id), root() / bench_id
    said = told(folder) or Progress("interrupted", 0, asked.n_cells)
    if said.state == "running" and not is_held():
        said = told(folder) or said  # it may have ended between the two looks
        return replace(said, state="interrupted") if said.state == "running" else said
    is_lost = said.state == "starting" and time.time() - said.told_at > _START_S
    return replace(said, state="interrupted") if is_lost else said


def rows(bench_id: str) -> list[Row]:
    """Return what a bench has so far, in the order of its cells.

    Raises:
        BenchError: If there is no such bench, or its results cannot be read.
    """
    asked = asked_of(bench_id)
    found: list[Row] = []
    for one in asked.tasks:
        out = results(asked, one.digest)
        made = {
            (row["algorithm"], row["budget"], row["run"]): row
            for row in (read_rows(out) if out.exists() else [])
            if row["environment"] == one.name
        }
        keys = [cell.key[1:] for cell in asked.sweep(Arena(one.name, "", one.digest)).cells()]
        found += [made[key] for key in keys if key in made]
    return found
