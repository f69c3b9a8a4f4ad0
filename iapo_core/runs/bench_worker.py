"""The process that makes one bench of the dashboard: `python -m iapo_core.runs.bench_worker FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from iapo_core.bench.arenas import arena
from iapo_core.bench.executors import Executor, executor
from iapo_core.errors import BenchError, IapoError
from iapo_core.runs.bench_files import BenchRequest, Progress, State, hold, results, tell, this_version
from iapo_core.runs.catalogue import task_entry

_TELL_S = 0.5
_UNEXPECTED = "An unexpected error ended the bench; its log in the data folder has the details. Start it again to go on."


def work(folder: Path, runner: Executor) -> None:
    """Make the bench of a folder, or leave it to the process that makes one already."""
    request = BenchRequest.model_validate_json((folder / "request.json").read_bytes())
    lock = hold(wait_s=5.0)
    if lock is None:
        return
    teller = _Teller(folder, request.n_cells)
    try:
        if request.made_by != this_version():
            raise BenchError("This bench was asked for by another version of this software; start it again.")
        for asked in request.tasks:
            found = arena(asked.task, task_entry(asked.task).path)
            if found.digest != asked.digest:
                raise BenchError(f"Task {asked.task!r} has changed since this bench was asked for; start a new one.")
            teller.next_task()
            request.sweep(found).finish(results(request, asked.digest), runner, teller)
        teller.say("finished")
    except KeyboardInterrupt:
        teller.say("stopped", "Stopped on request; what was made is kept.")
    except IapoError as error:
        teller.say("failed", str(error))
    except Exception:
        teller.say("failed", _UNEXPECTED)
        raise
    finally:
        lock.close()


class _Teller:
    """Says how a bench stands, often enough and not too often, and listens for the wish to stop."""

    def __init__(self, folder: Path, n_total: int) -> None:
        self._folder, self._n_total = folder, n_total
        self._started_at, self._said_at = time.time(), 0.0
        self._n_before = self._n_done = self._n_kept = 0
        self._is_first = True
        self.say("running")

    def next_task(self) -> None:
        """Count the runs of another task on top of those so far."""
        self._n_before, self._is_first = self._n_done, True

    def __call__(self, n_done: int) -> None:
        """Take in how many runs of the task are done; the first call says how many were there before."""
        self._n_done = self._n_before + n_done
        if self._is_first:
            self._n_kept, self._is_first = self._n_kept + n_done, False
        if time.monotonic() - self._said_at > _TELL_S:
            self.say("running")
        if (self._folder / "cancel").exists():
            raise KeyboardInterrupt

    def say(self, state: State, message: str = "") -> None:
        """Write it down."""
        self._said_at = time.monotonic()
        tell(self._folder, Progress(state, self._n_done, self._n_total, message, self._started_at, time.time(), self._n_kept))


def main() -> None:
    """Make the bench that the command names, leaving a core to the dashboard and stepping back behind everything else."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(os, "nice"):
        os.nice(5)
    work(Path(sys.argv[1]), executor(f"local:{max((os.cpu_count() or 1) - 1, 1)}"))


if __name__ == "__main__":
    main()
