"""A sweep on a Dask cluster: workers anywhere that have this package; environments travel to them by content."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker, Worker, WorkerPlugin

from iapo_core.bench.arenas import Arena, content, deliver, retract
from iapo_core.bench.cells import Cell, Row
from iapo_core.bench.chunks import Chunks, feed
from iapo_core.errors import BenchError, IapoError

_CONNECT_S = 10.0
_CLOSE_S = 2.0
PATIENCE_S = 120.0  # without any worker


class Delivery(WorkerPlugin):
    """Brings the files of an environment to every worker, also to those that join or come back later.

    Args:
        arena: Whose files.
        client_id: For whom.
    """

    def __init__(self, arena: Arena, client_id: str) -> None:
        self.name = f"iapo-{arena.digest}-{client_id}"  # two benches on one cluster do not take each other's files away
        self._arena = arena
        self._files = content(arena)

    def setup(self, worker: Worker) -> None:
        """Write the files into a folder of this worker's own; called by the worker."""
        self._folder = tempfile.TemporaryDirectory(prefix="iapo-bench-")
        deliver(self._arena, self._files, Path(self._folder.name))

    def teardown(self, worker: Worker) -> None:
        """Remove them; called by the worker."""
        retract(self._arena, Path(self._folder.name))
        self._folder.cleanup()


class DaskCluster:
    """Workers of a Dask scheduler.

    Args:
        address: As in `tcp://127.0.0.1:8786`.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def run(self, cells: Sequence[Cell], seed: int) -> Iterator[list[Row]]:
        """Yield rows as they are made; chunks of a worker that dies are made by the others.

        Raises:
            BenchError: If the scheduler cannot be reached or goes away, no worker comes for two minutes, or the same runs end
                one worker after the other; the rows that came are kept.
        """
        if not cells:
            return
        client = self._connected()
        try:
            deliveries = [Delivery(arena, client.id) for arena in dict.fromkeys(cell.arena for cell in cells) if arena.path]
            for delivery in deliveries:
                client.register_plugin(delivery)
            pool = client.get_executor(pure=False)
            try:
                patience = _Patience(lambda: self._workers(client), self._address)
                yield from feed(pool, Chunks(cells), seed, lambda: self._n_threads(client), patience)
            finally:
                pool.shutdown(wait=False)  # cancels what nobody waits for any more
                for delivery in deliveries:
                    if client.status == "running":
                        client.unregister_worker_plugin(delivery.name)
        except IapoError:
            raise
        except KilledWorker as error:
            raise BenchError(
                f"Some runs ended every Dask worker that took them ({error.last_worker.address} was the last), perhaps for want of "
                "memory. What was finished is kept; start workers with more and run the same command again."
            ) from None
        except (CancelledError, OSError, TimeoutError) as error:
            raise self._gone() from error
        except ImportError as error:
            raise BenchError(
                f"A Dask worker at {self._address} has no such package ({error}); install the same version of iapo where workers run."
            ) from error
        finally:
            client.close(timeout=_CLOSE_S)

    def _connected(self) -> Client:
        try:
            return Client(self._address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise BenchError(
                f"There is no Dask scheduler at {self._address} ({str(error).splitlines()[0] if str(error) else 'no answer'}); "
                "start one with `dask scheduler`, or use --executor local."
            ) from error

    def _gone(self) -> BenchError:
        return BenchError(
            f"The Dask scheduler at {self._address} went away. What was finished is kept; start it and run the same command again."
        )

    def _n_threads(self, client: Client) -> int:
        return sum(worker["nthreads"] for worker in self._workers(client))

    def _workers(self, client: Client) -> list[dict[str, Any]]:
        known = client.scheduler_info(n_workers=-1).get("workers")
        if known is None:  # a client without a connection knows nothing
            raise self._gone()
        return list(known.values())


class _Patience:
    """Ends a wait for workers that do not come."""

    def __init__(self, look: Callable[[], Collection[object]], address: str) -> None:
        self._look, self._address = look, address
        self._alone_since: float | None = None

    def __call__(self, has_come: bool) -> None:
        if has_come or self._look():
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > PATIENCE_S:
            raise BenchError(
                f"The Dask scheduler at {self._address} has had no worker for {PATIENCE_S:.0f} seconds. What was finished is kept; "
                "start some with `dask worker` and run the same command again."
            )
