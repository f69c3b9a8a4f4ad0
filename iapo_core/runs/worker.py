"""The worker: claims runs and drives them one after the other; it outlives the tab and the dashboard."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

from iapo_core.errors import RunError, StoreError
from iapo_core.runs.catalogue import data_dir, open_environment, task_fingerprint
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.drive import drive
from iapo_core.runs.lease import BEAT_S, LEASE_S, POLL_S, HeldLease
from iapo_core.runs.live_runs import Access
from iapo_core.runs.store import Store

IDLE_S = 900.0
ALIVE_S = 6.0
SHOWCASE = "showcase"
SHOWCASE_TASK = "topics"
SHOWCASE_BUDGET = 5_000
_STARTED: list[subprocess.Popen[bytes]] = []
_LOG = logging.getLogger(__name__)


class _Leaving:
    """True once SIGTERM or SIGINT has come: stop buying, give the run back."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self) -> bool:
        return self.is_set

    def set(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


def work(store: Store, *, idle_s: float = IDLE_S, lease_s: float = LEASE_S) -> None:
    """Drive runs until a signal comes or nothing was to do for `idle_s` seconds."""
    worker_id = f"{os.getpid()}-{secrets.token_hex(4)}"
    idle_since, beaten = time.monotonic(), -BEAT_S
    with on_signals() as is_leaving:
        try:
            while not is_leaving():
                is_idle = time.monotonic() - idle_since >= idle_s
                try:
                    if is_idle:  # signed off before the last look, so that who queues a run after it starts another worker
                        store.sign_off(worker_id)
                        store.rest_keyless()
                    elif time.monotonic() - beaten >= BEAT_S:
                        store.beat(worker_id)
                        store.rest_keyless()
                        beaten = time.monotonic()
                    claim = store.claim(worker_id, lease_s)
                    if claim is not None:
                        with HeldLease(store, claim, lease_s, worker_id) as lease:
                            drive(store, lease, is_leaving)
                        idle_since = time.monotonic()
                        continue
                except StoreError as error:
                    _LOG.warning("%s", error)
                if is_idle:
                    return
                time.sleep(POLL_S)
        finally:
            store.sign_off(worker_id)


def work_keyed(store: Store, run_id: str, keys: Mapping[str, str], *, lease_s: float = LEASE_S) -> None:
    """Drive one run with keys that were typed for it, until it rests; they are in the memory of this process alone.

    It does not say that a worker lives: it takes no other run.
    """
    worker_id = f"{os.getpid()}-{secrets.token_hex(4)}-keyed"
    with on_signals() as is_leaving:
        while not is_leaving() and store.run(run_id).is_active:
            claim = store.claim(worker_id, lease_s, run_id, holds_keys=True)
            if claim is not None:
                with HeldLease(store, claim, lease_s) as lease:
                    drive(store, lease, is_leaving, access=Access(keys), rests="stopped")
                return
            time.sleep(POLL_S)  # another worker that has the keys drives it, or has died and its lease runs out


@contextmanager
def on_signals() -> Iterator[_Leaving]:
    """Listen to SIGTERM and SIGINT where that is possible, the main thread, and only meanwhile."""
    leaving = _Leaving()
    if threading.current_thread() is not threading.main_thread():
        yield leaving
        return
    before = {number: signal.signal(number, leaving.set) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield leaving
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ensure_worker(store: Store) -> None:
    """Start a detached worker if none was seen lately; two at once do no harm, a run has one lease."""
    store.rest_keyless()
    if abs(time.time() - store.last_beat()) < ALIVE_S:
        return
    _start(store, [])
    store.beat("starting")  # so that the next page load does not start another


def start_keyed_worker(store: Store, run_id: str, keys: Mapping[str, str]) -> None:
    """Start a detached worker for one run with the keys that were typed for it; a run that rests is resumed.

    The keys travel through a pipe: they stand in no argument, no environment, no file.

    Args:
        store: Where the run is.
        run_id: A run that was created with `needs_keys`.
        keys: By the name of their slot (`environments.endpoints.key_slots`).

    Raises:
        RunError: If there is no such run, it has finished, or it does not wait for keys.
    """
    run = store.run(run_id)
    if not run.needs_keys:
        raise RunError(f"Run {run_id} takes its keys from the environment; a worker drives it without typed ones.")
    if not run.is_active:
        store.request(run_id, "resume")
    process = _start(store, ["--run", run_id, "--keys-from-stdin"], stdin=subprocess.PIPE)
    assert process.stdin is not None  # noqa: S101 - asked for above
    with suppress(BrokenPipeError), process.stdin:  # a worker that died at once: the run will say that its key is gone
        process.stdin.write(json.dumps(dict(keys)).encode())


def _start(store: Store, arguments: list[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]  # reaps those that have ended
    with (data_dir() / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "iapo_core.cli", "worker", *arguments],
            stdin=stdin,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"IAPO_DATABASE_URL": store.url},
        )
    _STARTED.append(process)
    return process


def showcase(store: Store) -> str:
    """Return the id of the finished run of a bundled recording, making it (some 100 ms) where it is missing or outdated.

    Raises:
        RunError: If it did not finish, with the reason.
        IapoError: If the recording cannot be used.
    """
    fingerprint = task_fingerprint(SHOWCASE_TASK)
    run_id = f"{SHOWCASE}-{fingerprint[:8]}-{SHOWCASE_BUDGET}"
    try:
        state = store.run(run_id).state
    except RunError:
        environment = open_environment(SHOWCASE_TASK, 0)
        config = RunConfig(
            task=SHOWCASE_TASK,
            task_fingerprint=fingerprint,
            budget=SHOWCASE_BUDGET,
            seed=0,
            n_max=environment.n_max,
            contexts=named(environment.contexts, environment.objectives),
        )
        store.create_run(config, nonce=run_id, run_id=run_id)
    else:
        if state == "finished":
            return run_id
        if state in ("stopped", "failed"):
            store.request(run_id, "resume")
    ensure_finished(store, run_id)
    run = store.run(run_id)
    if run.state == "failed":
        raise RunError(f"The example run of {SHOWCASE_TASK!r} could not be made: {run.message}")
    return run_id


def ensure_finished(store: Store, run_id: str) -> None:
    """Drive a queued run in this process; returns at once if a worker took it first."""
    claim = store.claim(f"{os.getpid()}-inline", LEASE_S, run_id)
    if claim is not None:
        with HeldLease(store, claim, LEASE_S) as lease:
            drive(store, lease, lambda: False)
