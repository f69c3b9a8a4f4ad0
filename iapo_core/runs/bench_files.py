"""What a bench of the dashboard keeps on disk: what was asked, how it stands, what it made, and who may work on it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from iapo_core.bench.arenas import Arena
from iapo_core.bench.spelled import algorithms
from iapo_core.bench.sweep import Sweep
from iapo_core.runs.catalogue import data_dir

State = Literal["starting", "running", "finished", "stopped", "interrupted", "failed"]


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(_Value):
    """One task of a bench: its id in the catalogue, its name in tables, and the SHA-256 of its content."""

    task: str
    name: str
    digest: str


class BenchRequest(_Value):
    """What a bench compares; equal requests are one bench.

    Attributes:
        made_by: Which version of this software; another one makes a bench of its own, from results of its own.
        tasks: On what.
        algorithms: As `iapo bench` spells them; the first is the reference.
        budgets: Completions.
        n_runs: Reshuffles of each task's queries.
    """

    made_by: str
    tasks: tuple[Asked, ...]
    algorithms: tuple[str, ...]
    budgets: tuple[int, ...]
    n_runs: int

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that follow from the content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    @property
    def n_cells(self) -> int:
        """How many runs it takes."""
        return len(self.tasks) * len(self.algorithms) * len(self.budgets) * self.n_runs

    def sweep(self, arena: Arena) -> Sweep:
        """Return the part of the bench in one environment."""
        return Sweep((arena,), algorithms(",".join(self.algorithms)), self.budgets, self.n_runs, seed=0)


@dataclass(frozen=True)
class Progress:
    """How a bench stands; times are seconds since the epoch."""

    state: State
    n_done: int
    n_total: int
    message: str = ""
    started_at: float = 0.0
    told_at: float = 0.0
    n_kept: int = 0  # of those done, made by an earlier bench

    @property
    def is_active(self) -> bool:
        """True while a process works on it."""
        return self.state in ("starting", "running")

    @property
    def left_s(self) -> float:
        """Seconds that are left at the pace so far, nan where there is none yet."""
        n_made = self.n_done - self.n_kept
        return (self.told_at - self.started_at) / n_made * (self.n_total - self.n_done) if n_made > 0 else float("nan")


@cache
def this_version() -> str:
    """Return eight hexadecimal digits that follow from the code that decides a row: algorithms are not compared across changes."""
    package = Path(__file__).parents[1]
    files = [*package.glob("*.py"), *(package / "bench").glob("*.py"), *(package / "environments").glob("*.py")]
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in sorted(files)))
    return digest.hexdigest()[:8]


def root() -> Path:
    """Return the folder of all benches."""
    return data_dir() / "benches"


def results(asked: BenchRequest, digest: str) -> Path:
    """Return where the rows of an environment are, for all benches of one version."""
    return root() / f"{digest[:24]}-{asked.made_by}.parquet"


def tell(folder: Path, progress: Progress) -> None:
    """Write how a bench stands; a reader sees the old or the new, never half of it."""
    part = folder / f"progress.{os.getpid()}.part"
    part.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    part.replace(folder / "progress.json")


def told(folder: Path) -> Progress | None:
    """Return what was written last, None if nothing was."""
    try:
        return Progress(**json.loads((folder / "progress.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def hold(*, wait_s: float) -> sqlite3.Connection | None:
    """Take the right to make a bench, None if another process has it; close it to give it back.

    A lock of SQLite, because the system releases it with the process, however that ends, on every system.
    """
    connection = sqlite3.connect(root() / "turn.db", timeout=wait_s, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        return None
    return connection


def is_held() -> bool:
    """Return whether some process makes a bench."""
    lock = hold(wait_s=0.0)
    if lock is not None:
        lock.close()
    return lock is None
