"""How a sweep is handed to a `concurrent.futures.Executor`: chunks of about a second, a few in flight, none lost with a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from iapo_core.bench.cells import Cell, Row, run_cells

CHUNK_S = 1.0
_FIRST = 4  # cells per chunk of a kind that was not measured yet
_POLL_S = 2.0


class Chunks:
    """Cuts cells into chunks of at least about half of CHUNK_S, by what cells of a kind took so far.

    Neighbours stay together, because cells of one reshuffle share what is known of it. How cells are cut changes no figure.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._waiting = deque(cells)
        self._seconds: dict[tuple[str, str, int], float] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def cut(self) -> list[Cell]:
        """Take the next chunk; at least one cell where any is left."""
        chunk: list[Cell] = []
        seconds = 0.0
        while self._waiting and seconds < CHUNK_S:
            chunk.append(self._waiting.popleft())
            seconds += self._seconds.get(_kind(*chunk[-1].key), CHUNK_S / _FIRST)
        return chunk

    def give_back(self, cells: Sequence[Cell]) -> None:
        """Put cells of a chunk that was lost to the front again."""
        self._waiting.extendleft(reversed(cells))

    def learn(self, rows: Sequence[Row]) -> None:
        """Note what cells took; the mean moves with the machine."""
        for row in rows:
            kind = _kind(row["environment"], row["algorithm"], row["budget"])
            took = float(row["wall_s"])
            self._seconds[kind] = 0.7 * self._seconds.get(kind, took) + 0.3 * took


def _kind(environment: str, algorithm: str, budget: int, run: int = 0) -> tuple[str, str, int]:
    return environment, algorithm, budget


def feed(
    pool: Executor, chunks: Chunks, seed: int, n_workers: Callable[[], int], on_wait: Callable[[bool], object] = bool
) -> Iterator[list[Row]]:
    """Keep every worker busy with one chunk and one waiting, and yield rows as they come.

    Whatever ends this early, an error of a chunk or a reader that had enough, all chunks in flight go back to where they were.

    Args:
        pool: Who makes them.
        chunks: What is to be made.
        seed: Of the sweep.
        n_workers: Asked now and then, because workers come and go.
        on_wait: Told every few seconds whether something came meanwhile; may raise to end a wait that is in vain.
    """
    flying: dict[Future[list[Row]], list[Cell]] = {}
    try:
        while chunks or flying:
            while chunks and len(flying) < 2 * max(n_workers(), 1):
                chunk = chunks.cut()
                flying[pool.submit(run_cells, chunk, seed)] = chunk
            done, _ = wait(flying, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            on_wait(bool(done))
            for future in done:
                rows = future.result()
                del flying[future]
                chunks.learn(rows)
                yield rows
    finally:
        for chunk in flying.values():
            chunks.give_back(chunk)
