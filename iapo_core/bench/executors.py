"""Where the cells of a sweep are made: in this process, in a pool of processes on this machine, or on a Dask cluster."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Protocol

from iapo_core.bench.cells import Cell, Row, run_cells
from iapo_core.bench.chunks import Chunks, feed
from iapo_core.errors import BenchError

MOST_PROCESSES = 256
_MOST_DEATHS = 3  # pools that broke one after the other without a single chunk made
_ADDRESS = re.compile(r"dask://(?P<place>(?:[^\s/:\[\]@]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5}))/?")


class Executor(Protocol):
    """Makes cells; the rows are the same whatever makes them, and come in any order."""

    def run(self, cells: Sequence[Cell], seed: int) -> Iterator[list[Row]]:
        """Yield rows as they are made."""
        ...


class InProcess:
    """One cell after the other, here."""

    def run(self, cells: Sequence[Cell], seed: int) -> Iterator[list[Row]]:
        """Yield the row of each cell as it ends."""
        for cell in cells:
            yield run_cells([cell], seed)


class Pool:
    """Processes on this machine; one that dies is replaced, and what it had in hand is made again.

    Args:
        n_processes: How many.
    """

    def __init__(self, n_processes: int) -> None:
        self._n_processes = n_processes

    def run(self, cells: Sequence[Cell], seed: int) -> Iterator[list[Row]]:
        """Yield rows as they are made.

        Raises:
            BenchError: If processes die again and again; the rows that came are kept.
        """
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the pool is the parallelism; its processes inherit this
        chunks, n_deaths = Chunks(cells), 0
        while chunks:
            pool = ProcessPoolExecutor(
                min(self._n_processes, len(cells)), mp_context=get_context("spawn"), initializer=_follow_the_parent
            )
            try:
                for rows in feed(pool, chunks, seed, lambda: self._n_processes):
                    n_deaths = 0
                    yield rows
            except BrokenProcessPool:
                n_deaths += 1
                if n_deaths == _MOST_DEATHS:
                    raise BenchError(
                        f"Processes of the pool died {n_deaths} times in a row, perhaps for want of memory. What was finished is "
                        "kept; run the same command again with fewer processes, as in --executor local:1."
                    ) from None
            finally:
                pool.shutdown(cancel_futures=True)


def _follow_the_parent() -> None:
    """Leave interrupts to the process that owns the pool, and end with it, also when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def executor(text: str) -> Executor:
    """Read `local`, `local:N` or `dask://HOST:PORT`; nothing is started or called yet.

    Raises:
        BenchError: If it is something else, or Dask is not installed.
    """
    if text.startswith("dask"):
        match = _ADDRESS.fullmatch(text)
        if match is None or not 1 <= int(match["port"]) <= 65_535:
            raise BenchError(
                f"{text!r} is no address of a Dask scheduler; spell it dask://HOST:PORT, as in dask://127.0.0.1:8786."
            )
        try:
            from iapo_core.bench.dask_cluster import DaskCluster
        except ImportError as error:
            raise BenchError(
                f"Dask is not installed here ({error}); install it with pip install 'iapo[cluster]', or use --executor local."
            ) from error
        return DaskCluster(f"tcp://{match['place']}")
    kind, _, number = text.partition(":")
    if kind != "local" or (number and not (number.isdecimal() and 1 <= int(number) <= MOST_PROCESSES)):
        raise BenchError(
            f"There is no executor {text!r}; give local, local:N with N from 1 to {MOST_PROCESSES} processes, or dask://HOST:PORT."
        )
    n = int(number) if number else (os.cpu_count() or 1)
    return Pool(n) if n > 1 else InProcess()
