"""Who may drive a run next: the oldest that is queued, or whose worker's lease ran out; one with typed keys only for who has them.

Typed keys live in one worker's memory. When that worker ends, nobody can go on by itself, so the run comes to rest and says so.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, text

from iapo_core.runs.rows import Claim

LONGEST_LEASE_S = 3600.0
KEYED_WAIT_S = 60.0  # how long a queued run waits for the worker that is being started with its keys
GRACE_S = 2.0  # for a worker that holds the keys and waits for a dead one's lease to run out
KEYS_GONE = "The worker that held this run's key has ended, and keys are not stored. What was bought is kept; give the key again to go on."

_OPEN = "(state = 'queued' OR (state = 'running' AND (lease_until < :now OR lease_until > :far)) {kept}) {mine} {chosen}"
_TAKE = """
UPDATE runs SET state = 'running', owner = :owner, token = token + 1, lease_until = :until,
    started_at = COALESCE(started_at, :now) WHERE id = :id AND token = :token"""
_REST = """
UPDATE runs SET state = 'stopped', message = :words, finished_at = :now, lease_until = 0, owner = NULL, requested = NULL,
    token = token + 1
WHERE needs_keys = 1 AND state IN ('queued', 'running') AND (lease_until < :late OR lease_until > :far)"""


def take(
    connection: Connection, worker_id: str, lease_s: float, run_id: str | None = None, *, holds_keys: bool = False
) -> Claim | None:
    """Take a run for `lease_s` seconds; None if there is none."""
    where = _OPEN.format(
        kept="OR (state = 'stopped' AND started_at IS NULL)" if run_id else "",
        mine="" if holds_keys else "AND needs_keys = 0",
        chosen="AND id = :run_id" if run_id else "",
    )
    now = time.time()
    row = connection.execute(
        text(f"SELECT id, token FROM runs WHERE {where} ORDER BY created_at, id LIMIT 1"),  # noqa: S608
        _clock(now) | ({"run_id": run_id} if run_id else {}),
    ).one_or_none()
    if row is None:
        return None
    values = {"owner": worker_id, "until": now + lease_s, "now": now, "id": row.id, "token": row.token}
    return Claim(row.id, row.token + 1) if connection.execute(text(_TAKE), values).rowcount else None


def rest_keyless(connection: Connection) -> int:
    """Bring the runs to rest whose keys have gone with their worker; returns how many."""
    now = time.time()
    return connection.execute(text(_REST), {**_clock(now), "late": now - GRACE_S, "words": KEYS_GONE}).rowcount


def _clock(now: float) -> dict[str, float]:
    """A lease that ends too far ahead was taken before the clock was set back."""
    return {"now": now, "far": now + LONGEST_LEASE_S}
