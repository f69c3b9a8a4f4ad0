"""A sweep: environments x algorithms x budgets x runs, kept in one parquet file and resumable at any cell."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

from iapo_core.bench.arenas import Arena
from iapo_core.bench.cells import COLUMNS, Cell, Row
from iapo_core.bench.executors import Executor
from iapo_core.bench.spelled import Spelled
from iapo_core.errors import BenchError

_SAVE_S = 5.0
_MARK = b"iapo.bench"


@dataclass(frozen=True)
class Sweep:
    """What is compared.

    Attributes:
        arenas: The environments.
        algorithms: The algorithms, with options.
        budgets: Completions.
        n_runs: Reshuffles of each environment's queries.
        seed: Of everything random.
    """

    arenas: tuple[Arena, ...]
    algorithms: tuple[Spelled, ...]
    budgets: tuple[int, ...]
    n_runs: int
    seed: int

    def cells(self) -> list[Cell]:
        """Return every cell, those of one reshuffle side by side."""
        return [
            Cell(arena, algorithm, budget, run)
            for arena, run in product(self.arenas, range(self.n_runs))
            for budget, algorithm in product(self.budgets, self.algorithms)
        ]

    def finish(self, out: Path, executor: Executor, on_rows: Callable[[int], object] = lambda done: None) -> list[Row]:
        """Make the cells that `out` lacks, keep them there as they come, and return the rows of this sweep in order.

        Args:
            out: The parquet file; rows of an earlier, smaller or interrupted sweep of the same seed are kept and used.
            executor: Who makes them.
            on_rows: Told how many cells are done.

        Raises:
            BenchError: If the file cannot be used, or holds other environments of the same names or another seed.
        """
        rows = {_key(row): row for row in self._earlier(out)}
        cells = self.cells()
        missing = [cell for cell in cells if cell.key not in rows]
        on_rows(len(cells) - len(missing))
        n_done, saved_at = len(cells) - len(missing), time.monotonic()
        try:
            for made in executor.run(missing, self.seed):
                rows.update((_key(row), row) for row in made)
                n_done += len(made)
                on_rows(n_done)
                if time.monotonic() - saved_at > _SAVE_S:
                    self._save(out, list(rows.values()))
                    saved_at = time.monotonic()
        finally:
            if rows:
                self._save(out, list(rows.values()))
        return [rows[cell.key] for cell in cells]

    def _marks(self) -> dict[str, str]:
        return {arena.name: arena.digest for arena in self.arenas}

    def _earlier(self, out: Path) -> list[Row]:
        if not out.exists():
            return []
        rows, mark = _read(out)
        if mark["seed"] != self.seed:
            raise BenchError(f"{out} holds a bench of seed {mark['seed']}, not {self.seed}; give another file or that seed.")
        changed = [name for name, digest in self._marks().items() if mark["arenas"].get(name, digest) != digest]
        if changed:
            raise BenchError(f"{out} holds results of another environment named {changed[0]!r}; give another file.")
        return rows

    def _save(self, out: Path, rows: list[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        known = _read(out)[1]["arenas"] if out.exists() else {}
        mark = json.dumps({"seed": self.seed, "arenas": {**known, **self._marks()}})
        table = pa.Table.from_pylist(sorted(rows, key=_key)).replace_schema_metadata({_MARK: mark.encode()})
        part = out.with_name(f"{out.name}.{os.getpid()}-{threading.get_ident()}.part")  # two tabs may write at once
        pq.write_table(table, part)
        os.replace(part, out)


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a bench file.

    Raises:
        BenchError: If it is none.
    """
    return _read(path)[0]


def parse_rows(stream: BinaryIO, name: str) -> list[Row]:
    """Read the rows of a bench file that came from elsewhere.

    Raises:
        BenchError: If it is none, or empty.
    """
    rows = _parsed(stream, name)[0]
    if not rows:
        raise BenchError(f"{name} holds no runs; make some with iapo bench.")
    return rows


def _read(path: Path) -> tuple[list[Row], dict[str, Any]]:
    try:
        with path.open("rb") as stream:
            return _parsed(stream, str(path))
    except OSError as error:
        raise BenchError(f"{path} cannot be read ({error.strerror}).") from None


def _parsed(stream: BinaryIO, name: str) -> tuple[list[Row], dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(stream)
        mark = json.loads(table.schema.metadata[_MARK])
        if not isinstance(mark["arenas"], dict) or table.schema.names not in (list(COLUMNS), list(COLUMNS[:-2])):
            raise ValueError
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        raise BenchError(f"{name} holds no bench of ours; give another file.") from None
    return [dict.fromkeys(COLUMNS, 0) | row for row in table.to_pylist()], mark  # older files judged no differences


def _key(row: Row) -> tuple[str, str, int, int]:
    return row["environment"], row["algorithm"], row["budget"], row["run"]


def budgets(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of completions.

    Raises:
        BenchError: If one is not a whole number of at least 1.
    """
    parts = [part.strip().replace("_", "") for part in text.split(",") if part.strip()]
    wrong = [part for part in parts if not part.isdecimal() or int(part) < 1]
    if wrong or not parts:
        raise BenchError(f"A budget is a whole number of completions, at least 1, not {(wrong or [text])[0]!r}; as in 1000,5000.")
    return tuple(dict.fromkeys(int(part) for part in parts))
