"""Where chunks of a sweep are made: in this process, or in a pool of processes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Protocol

from iapo_core.bench.cells import Cell, Row, run_cells
from iapo_core.errors import BenchError

MOST_PROCESSES = 256


class Executor(Protocol):
    """Makes chunks of cells; the rows are the same whatever makes them, and come in any order of chunks."""

    def run(self, chunks: Sequence[Sequence[Cell]], seed: int) -> Iterator[list[Row]]:
        """Yield the rows of each chunk as it ends."""
        ...


class InProcess:
    """One chunk after the other, here."""

    def run(self, chunks: Sequence[Sequence[Cell]], seed: int) -> Iterator[list[Row]]:
        """Yield the rows of each chunk as it ends."""
        for chunk in chunks:
            yield run_cells(chunk, seed)


class Pool:
    """Processes on this machine.

    Args:
        n_processes: How many.
    """

    def __init__(self, n_processes: int) -> None:
        self._n_processes = n_processes

    def run(self, chunks: Sequence[Sequence[Cell]], seed: int) -> Iterator[list[Row]]:
        """Yield the rows of each chunk as it ends.

        Raises:
            BenchError: If a process dies; the rows that came are kept.
        """
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the pool is the parallelism; its processes inherit this
        pool = ProcessPoolExecutor(self._n_processes, mp_context=get_context("spawn"))
        try:
            for future in as_completed([pool.submit(run_cells, chunk, seed) for chunk in chunks]):
                yield future.result()
        except BrokenProcessPool:
            raise BenchError(
                "A process of the pool died, perhaps for want of memory. What was finished is kept; run the same command again, "
                "with fewer processes if it happens twice."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def executor(text: str) -> Executor:
    """Read `local` or `local:N`.

    Raises:
        BenchError: If it is something else.
    """
    kind, _, number = text.partition(":")
    if kind != "local" or (number and not (number.isdecimal() and 1 <= int(number) <= MOST_PROCESSES)):
        raise BenchError(f"There is no executor {text!r}; give local, or local:N with N from 1 to {MOST_PROCESSES} processes.")
    n = int(number) if number else (os.cpu_count() or 1)
    return Pool(n) if n > 1 else InProcess()
