"""Driving one run: replay what is stored, go on from there, and rest in a state that says why.

A run is a pure function of its config and its task's completions. So a run that was killed is started over and its events are
compared with those that are stored; what comes after the last of them is new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from iapo_core.environment import Environment, default_grid
from iapo_core.environments.llm import LlmEnvironment
from iapo_core.environments.redact import redact
from iapo_core.errors import BudgetGoneError, IapoError, InterruptedPullError, PolicyError, RunError, StoreError
from iapo_core.events import Event, Finished, Pulled, Trimmed, from_json, to_json
from iapo_core.optimize import policy_so_far, start
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import open_environment, task_fingerprint
from iapo_core.runs.claims import KEYS_GONE
from iapo_core.runs.config import RunConfig
from iapo_core.runs.lease import HeldLease
from iapo_core.runs.live_runs import Access, checked, is_live, open_live
from iapo_core.runs.rows import State
from iapo_core.runs.store import LeaseLostError, Store

_UNEXPECTED = "An unexpected error ended the run; the worker's log has the details. Resume tries again."
_WISHES = {"cancel": "Stopped on request; what it had drawn is kept.", "pause": "Paused on request; resume goes on from here."}
_SHUT_DOWN = "The worker was shut down; the next one goes on."
_INTERRUPTED = "Interrupted; what was bought is kept. Resume goes on from here."
_STORED_NOWHERE = Access()
_LOG = logging.getLogger(__name__)


def drive(
    store: Store,
    lease: HeldLease,
    is_leaving: Callable[[], bool],
    *,
    access: Access = _STORED_NOWHERE,
    on_event: Callable[[Environment, Event], None] = lambda _environment, _event: None,
    rests: Literal["queued", "stopped"] = "queued",
) -> None:
    """Drive the claimed run to its next rest: finished, stopped, failed, queued again, or another worker's.

    Args:
        store: Where the run is.
        lease: The claim, kept alive by the caller.
        is_leaving: Asked between events, while pacing and while completions are bought; True gives the run back.
        access: The keys of a live run where they are not in environment variables.
        on_event: Told of every event, replayed ones too.
        rests: State of a run that is given back: queued for the next worker, or stopped until somebody resumes it.
    """
    try:
        if _replay_and_go_on(store, lease, is_leaving, access, on_event) == "given back":
            kept = KEYS_GONE if store.run(lease.claim.run_id).needs_keys else _INTERRUPTED
            store.finish(lease.claim, rests, message=_SHUT_DOWN if rests == "queued" else kept)
    except LeaseLostError as error:
        _LOG.warning("%s", error)
    except IapoError as error:
        _LOG.warning("run %s failed: %s", lease.claim.run_id, error)
        _rest(store, lease, "failed", redact(str(error), access.keys.values()))
    except Exception:
        _LOG.exception("run %s failed", lease.claim.run_id)
        _rest(store, lease, "failed", _UNEXPECTED)


def _replay_and_go_on(
    store: Store,
    lease: HeldLease,
    is_leaving: Callable[[], bool],
    access: Access,
    on_event: Callable[[Environment, Event], None],
) -> Literal["rests", "given back"]:
    run = store.run(lease.claim.run_id)
    config = run.config
    if config.fingerprint != run.fingerprint:
        raise RunError("The settings of this run were changed after it was created, so it cannot go on; start a new one.")
    if task_fingerprint(config.task) != config.task_fingerprint:
        raise RunError(f"Task {config.task!r} has changed since this run was started; start a new run instead.")

    def is_wanted_back() -> bool:
        return is_leaving() or lease.is_lost or lease.requested in _WISHES

    environment: Environment = (
        open_live(store, lease.claim, config, access, is_wanted_back)
        if is_live(config.task)
        else open_environment(config.task, config.seed)
    )
    seen: list[Event] = []
    try:
        return _events(store, lease, config, environment, seen, is_leaving, on_event)
    except InterruptedPullError:
        if lease.is_lost:
            raise LeaseLostError(f"Another worker has taken run {run.id} over; this one stops.") from None
        wish = lease.requested or ""
        message = _WISHES.get(wish)
    except BudgetGoneError as error:
        message = f"{error} What was paid for is kept."
    if message is None:
        return "given back"
    store.finish(lease.claim, "stopped", message=message, policy=_policy_so_far(config, environment, seen))
    return "rests"


def _events(
    store: Store,
    lease: HeldLease,
    config: RunConfig,
    environment: Environment,
    seen: list[Event],
    is_leaving: Callable[[], bool],
    on_event: Callable[[Environment, Event], None],
) -> Literal["rests", "given back"]:
    """Store what is new until the run has ended or rests, or is to be given back."""
    run_id = lease.claim.run_id
    stored = dict(store.payloads(run_id))
    round_began = time.monotonic()
    for seq, event in enumerate(start(environment, **config.arguments(environment)), start=1):
        if lease.is_lost:
            raise LeaseLostError(f"Another worker has taken run {run_id} over; this one stops.")
        is_new = seq not in stored
        if is_new:
            store.append(lease.claim, seq, event)
        elif not _is_same(stored[seq], event):
            raise RunError("The replay differs from what was stored, so this run cannot be resumed; start a new one.")
        seen.append(event)
        on_event(environment, event)
        if isinstance(event, Finished):
            policy = event.policy
            if isinstance(environment, LlmEnvironment):
                policy = checked(environment, config, policy, event.spent)
            store.finish(lease.claim, "finished", policy=policy)
            return "rests"
        if is_new and isinstance(event, Trimmed):
            _pace(config.pace_s - (time.monotonic() - round_began), lease, is_leaving)
            round_began = time.monotonic()
        wish = lease.requested or (store.requested(run_id) if is_new else None)
        if wish in _WISHES:
            store.finish(lease.claim, "stopped", message=_WISHES[wish], policy=_policy_so_far(config, environment, seen))
            return "rests"
        if is_leaving():
            return "given back"
    raise RunError(f"The algorithm {config.algorithm!r} ended without a policy; it must end with one.")


def _is_same(stored: str, event: Event) -> bool:
    """Compare with what was stored. Who paid for a completion is no part of it: another run may have been faster."""
    if stored == to_json(event):
        return True
    if not isinstance(event, Pulled):
        return False
    before = from_json(stored)
    return isinstance(before, Pulled) and to_json(replace(before, n_reused=event.n_reused)) == to_json(event)


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
