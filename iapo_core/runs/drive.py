"""Driving one run: replay what is stored, go on from there, and rest in a state that says why.

A run is a pure function of its config and its task's completions. So a run that was killed is started over and its events are
compared with those that are stored; what comes after the last of them is new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from iapo_core.environment import Environment, default_grid
from iapo_core.errors import IapoError, PolicyError, RunError, StoreError
from iapo_core.events import Event, Finished, Trimmed, to_json
from iapo_core.optimize import policy_so_far, start
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import open_environment, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.lease import HeldLease
from iapo_core.runs.rows import State
from iapo_core.runs.store import LeaseLostError, Store

_UNEXPECTED = "An unexpected error ended the run; the worker's log has the details. Resume tries again."
_LOG = logging.getLogger(__name__)


def drive(store: Store, lease: HeldLease, is_leaving: Callable[[], bool]) -> None:
    """Drive the claimed run to its next rest: finished, stopped, failed, queued again, or another worker's.

    Args:
        store: Where the run is.
        lease: The claim, kept alive by the caller.
        is_leaving: Asked between events and while pacing; True gives the run back.
    """
    try:
        _replay_and_go_on(store, lease, is_leaving)
    except LeaseLostError as error:
        _LOG.warning("%s", error)
    except IapoError as error:
        _LOG.warning("run %s failed: %s", lease.claim.run_id, error)
        _rest(store, lease, "failed", str(error))
    except Exception:
        _LOG.exception("run %s failed", lease.claim.run_id)
        _rest(store, lease, "failed", _UNEXPECTED)


def _replay_and_go_on(store: Store, lease: HeldLease, is_leaving: Callable[[], bool]) -> None:
    run = store.run(lease.claim.run_id)
    config = run.config
    if config.fingerprint != run.fingerprint:
        raise RunError("The settings of this run were changed after it was created, so it cannot go on; start a new one.")
    if task_fingerprint(config.task) != config.task_fingerprint:
        raise RunError(f"Task {config.task!r} has changed since this run was started; start a new run instead.")
    environment = open_environment(config.task, config.seed)
    stored = dict(store.payloads(run.id))
    seen: list[Event] = []
    round_began = time.monotonic()
    for seq, event in enumerate(start(environment, **config.arguments(environment)), start=1):
        if lease.is_lost:
            raise LeaseLostError(f"Another worker has taken run {run.id} over; this one stops.")
        is_new = seq not in stored
        if is_new:
            store.append(lease.claim, seq, event)
        elif stored[seq] != to_json(event):
            raise RunError("The replay differs from what was stored, so this run cannot be resumed; start a new one.")
        seen.append(event)
        if isinstance(event, Finished):
            store.finish(lease.claim, "finished", policy=event.policy)
            return
        if is_new and isinstance(event, Trimmed):
            _pace(config.pace_s - (time.monotonic() - round_began), lease, is_leaving)
            round_began = time.monotonic()
        if lease.requested == "cancel" or (is_new and store.requested(run.id) == "cancel"):
            policy = _policy_so_far(config, environment, seen)
            store.finish(lease.claim, "stopped", message="Stopped on request; what it had drawn is kept.", policy=policy)
            return
        if is_leaving():
            store.finish(lease.claim, "queued", message="The worker was shut down; the next one goes on.")
            return
    raise RunError(f"The algorithm {config.algorithm!r} ended without a policy; it must end with one.")


def _policy_so_far(config: RunConfig, environment: Environment, seen: Sequence[Event]) -> Policy | None:
    """Return what a stopped run knows; None where it has estimated nothing yet."""
    contexts = config.arguments(environment)["contexts"]
    try:
        return policy_so_far(default_grid(environment, n_max=config.n_max, contexts=contexts), environment, seen)
    except PolicyError:
        return None


def _pace(seconds: float, lease: HeldLease, is_leaving: Callable[[], bool]) -> None:
    """Wait so that a recording can be watched, in steps short enough to hear a wish."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not (is_leaving() or lease.is_lost or lease.requested):
        time.sleep(min(0.05, left))


def _rest(store: Store, lease: HeldLease, state: State, message: str) -> None:
    """Set the state; where even that is refused, the lease runs out and the next worker tries again."""
    try:
        store.finish(lease.claim, state, message=message)
    except StoreError as error:
        _LOG.error("run %s could not be set to %s: %s", lease.claim.run_id, state, error)
