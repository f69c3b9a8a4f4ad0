"""The worker: claims runs, drives them and writes what happens; it outlives the tab and the dashboard."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from types import FrameType

from iapo_core.environment import default_grid
from iapo_core.errors import IapoError, RunError
from iapo_core.events import Event, Finished, Trimmed, to_json
from iapo_core.optimize import policy_so_far, start
from iapo_core.runs.catalogue import data_dir, open_environment, task_fingerprint
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.store import Claim, LeaseLostError, Store

LEASE_S = 10.0
POLL_S = 0.25
ALIVE_S = 3.0
SHOWCASE = "showcase"
SHOWCASE_TASK = "topics"
_UNEXPECTED = "An unexpected error ended the run; the worker's log has the details. Resume tries again."
_STARTED: list[subprocess.Popen[bytes]] = []
_LOG = logging.getLogger(__name__)


@dataclass
class _Lease:
    """Renews the claim in the background, with its own connections, until it is closed or lost."""

    store: Store
    claim: Claim
    lease_s: float
    requested: str | None = None
    is_lost: bool = False
    _closed: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> _Lease:
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._closed.wait(min(POLL_S, self.lease_s / 4)):
            self.requested = self.store.requested(self.claim.run_id)
            if time.monotonic() - renewed > self.lease_s / 4:
                try:
                    self.requested = self.store.renew(self.claim, self.lease_s)
                except LeaseLostError:
                    self.is_lost = True
                    return
                renewed = time.monotonic()


class _Leaving:
    """Set by SIGTERM and SIGINT: stop buying, give the run back."""

    def __init__(self) -> None:
        self.is_set = False
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._set)

    def _set(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


def work(store: Store, *, idle_s: float = 900.0, lease_s: float = LEASE_S) -> None:
    """Drive runs until a signal comes or nothing was to do for `idle_s` seconds."""
    worker_id = f"{os.getpid()}-{secrets.token_hex(4)}"
    leaving, idle_since, beaten = _Leaving(), time.monotonic(), 0.0
    try:
        while not leaving.is_set and time.monotonic() - idle_since < idle_s:
            if time.monotonic() - beaten > ALIVE_S / 3:
                store.beat(worker_id)
                beaten = time.monotonic()
            claim = store.claim(worker_id, lease_s)
            if claim is None:
                time.sleep(POLL_S)
                continue
            with _Beating(store, worker_id), _Lease(store, claim, lease_s) as lease:
                _drive(store, lease, leaving)
            idle_since = time.monotonic()
    finally:
        store.sign_off(worker_id)


class _Beating:
    """Says that the worker lives while a run keeps it busy."""

    def __init__(self, store: Store, worker_id: str) -> None:
        self._store, self._worker_id, self._closed = store, worker_id, threading.Event()

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._closed.wait(ALIVE_S / 3):
            self._store.beat(self._worker_id)


def _drive(store: Store, lease: _Lease, leaving: _Leaving) -> None:
    """Drive one run to its next rest: finished, stopped, failed, given back or lost."""
    claim = lease.claim
    try:
        _replay_and_go_on(store, lease, leaving)
    except LeaseLostError as error:
        _LOG.warning("%s", error)
    except IapoError as error:
        store.finish(claim, "failed", message=str(error))
    except Exception:
        _LOG.exception("run %s failed", claim.run_id)
        store.finish(
            claim,
            "failed",
            message=_UNEXPECTED,
        )


def _replay_and_go_on(store: Store, lease: _Lease, leaving: _Leaving) -> None:
    claim = lease.claim
    config = store.run(claim.run_id).config
    if task_fingerprint(config.task) != config.task_fingerprint:
        raise RunError(f"Task {config.task!r} has changed since this run was started; start a new run instead.")
    environment = open_environment(config.task, config.seed)
    arguments = config.arguments(environment)
    stored = dict(store.payloads(claim.run_id))
    seen: list[Event] = []
    round_began = time.monotonic()
    for seq, event in enumerate(start(environment, **arguments), start=1):
        if lease.is_lost:
            raise LeaseLostError(f"Another worker has taken run {claim.run_id} over; this one stops.")
        if seq in stored:  # resumed: the same inputs give the same events
            if stored[seq] != to_json(event):
                raise RunError("The replay differs from what was stored, so this run cannot be resumed; start a new one.")
        else:
            store.append(claim, seq, event)
        seen.append(event)
        if isinstance(event, Finished):
            store.finish(claim, "finished", policy=event.policy)
            return
        if isinstance(event, Trimmed) and seq not in stored:
            _wait(config.pace_s - (time.monotonic() - round_began), lease, leaving)
            round_began = time.monotonic()
        if lease.requested == "cancel" or (seq not in stored and store.requested(claim.run_id) == "cancel"):
            grid = default_grid(environment, n_max=config.n_max, contexts=arguments["contexts"])
            has_estimates = any(type(e).__name__ == "Estimated" for e in seen)
            policy = policy_so_far(grid, environment, seen) if has_estimates else None
            store.finish(claim, "stopped", message="Stopped on request; what it had drawn is kept.", policy=policy)
            return
        if leaving.is_set:
            store.finish(claim, "queued", message="The worker was shut down; the next one goes on.")
            return
    raise RunError(f"The algorithm {config.algorithm!r} ended without a policy.")


def _wait(seconds: float, lease: _Lease, leaving: _Leaving) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (leaving.is_set or lease.is_lost or lease.requested):
        time.sleep(min(0.05, max(until - time.monotonic(), 0)))


def ensure_worker(store: Store) -> None:
    """Start a detached worker if none was seen lately; two at once do no harm, a run has one lease."""
    if time.time() - store.last_beat() < 2 * ALIVE_S:
        return
    with (data_dir() / "worker.log").open("ab") as log:
        _STARTED[:] = [process for process in _STARTED if process.poll() is None]  # reaps those that have ended
        process = subprocess.Popen(
            [sys.executable, "-m", "iapo_core.cli", "worker"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _STARTED.append(process)
    store.beat("starting")  # so that the next page load does not start another


def showcase(store: Store) -> str:
    """Return the id of the finished run of a bundled recording, making it (some 100 ms) where it is missing or outdated."""
    fingerprint = task_fingerprint(SHOWCASE_TASK)
    run_id = f"{SHOWCASE}-{fingerprint[:8]}"
    environment = open_environment(SHOWCASE_TASK, 0)
    config = RunConfig(
        task=SHOWCASE_TASK,
        task_fingerprint=fingerprint,
        budget=2_000,
        seed=0,
        n_max=environment.n_max,
        contexts=named(environment.contexts, environment.objectives),
    )
    try:
        if store.run(run_id).state != "queued":
            return run_id
    except RunError:
        store.create_run(config, nonce=run_id, run_id=run_id)
    ensure_finished(store, run_id)
    return run_id


def ensure_finished(store: Store, run_id: str) -> None:
    """Drive a queued run in this process; returns at once if a worker took it first."""
    claim = store.claim(f"{os.getpid()}-inline", LEASE_S, run_id)
    if claim is not None:
        with _Lease(store, claim, LEASE_S) as lease:
            _drive(store, lease, _Leaving())
