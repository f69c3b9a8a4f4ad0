"""The ledger: every completion is reserved before its call and settled after it, in one database for all runs.

A row says who pays (run and fencing token). A process that dies leaves rows reserved; the next claim of that run, or whoever
waits for such a row, marks them lost: they count as bought at the most they can have cost, and the draw may be bought anew as
another attempt, within the run's allowance. So at most `cap + allowance` completions of a run can ever have been billed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from iapo_core.environments.live import Answer, Key, LiveSettings, Reserved, Settled, Wanted
from iapo_core.runs.answers import load_answers
from iapo_core.runs.rows import Claim
from iapo_core.runs.store import Store

# Parameters that stand twice are cast: PostgreSQL would give them two types.
_RESERVE = """
INSERT INTO completions (cell, sample, attempt, state, run_id, token, model, prompt, query, worst_usd, reserved_at)
SELECT CAST(:cell AS VARCHAR(64)), :sample,
       (SELECT COUNT(*) FROM completions WHERE cell = CAST(:cell AS VARCHAR(64)) AND sample = :sample), 'reserved',
       CAST(:run_id AS VARCHAR(32)), :token, :model, :prompt, :query, :worst, :now
WHERE NOT EXISTS (
    SELECT 1 FROM completions WHERE cell = CAST(:cell AS VARCHAR(64)) AND sample = :sample AND state <> 'lost')
ON CONFLICT DO NOTHING"""
_CHARGE = """
UPDATE spending SET bought = bought + 1, usd = usd + :worst
WHERE run_id = :run_id AND (max_usd IS NULL OR usd + :worst <= max_usd + 1e-12) AND bought < cap + (
    SELECT CASE WHEN COUNT(*) < spending.allowance THEN COUNT(*) ELSE spending.allowance END
    FROM completions WHERE completions.run_id = :run_id AND state = 'lost')"""
_SETTLE = """
UPDATE completions SET state = :state, text = :text, finish_reason = :finish_reason, prompt_tokens = :prompt_tokens,
    completion_tokens = :completion_tokens, usd = :usd, latency_s = :latency_s, served_model = :served_model, error = :error,
    is_counted = :is_counted, settled_at = :now
WHERE cell = :cell AND sample = :sample AND run_id = :run_id AND token = :token AND state = 'reserved'"""
_RELEASE = """
DELETE FROM completions WHERE cell = :cell AND sample = :sample AND run_id = :run_id AND token = :token AND state = 'reserved'"""
_LOSE = """
UPDATE completions SET state = 'lost', settled_at = :now WHERE state = 'reserved' AND NOT EXISTS (
    SELECT 1 FROM runs WHERE runs.id = completions.run_id AND runs.token = completions.token AND runs.state = 'running'
    AND runs.lease_until > :now)"""


@dataclass(frozen=True)
class Spending:
    """What a run has bought so far; `bought` counts what is reserved and what was lost as well."""

    cap: int
    allowance: int
    max_usd: float | None
    bought: int
    lost: int
    failed: int
    usd: float
    in_flight: int
    reused: int
    waiting: str


class Ledger:
    """The completion store of one claimed run."""

    def __init__(self, store: Store, claim: Claim, settings: LiveSettings, *, cap: int) -> None:
        self._store, self._claim = store, claim
        values = {"run_id": claim.run_id, "cap": cap, "allowance": settings.lost_allowance, "max_usd": settings.max_usd}
        with store._write() as connection:
            self._fence(connection)
            connection.execute(
                text(
                    "INSERT INTO spending (run_id, cap, allowance, max_usd) "
                    "SELECT CAST(:run_id AS VARCHAR(32)), :cap, :allowance, CAST(:max_usd AS DOUBLE PRECISION) "
                    "WHERE NOT EXISTS (SELECT 1 FROM spending WHERE run_id = CAST(:run_id AS VARCHAR(32)))"
                ),
                values,
            )
            connection.execute(
                text(
                    "UPDATE completions SET state = 'lost', settled_at = :now "
                    "WHERE run_id = :run_id AND token <> :token AND state = 'reserved'"
                ),
                {"run_id": claim.run_id, "token": claim.token, "now": time.time()},
            )

    def load(self, cells: Sequence[str]) -> dict[Key, Answer]:
        """Return what is settled of these cells, whoever paid; marks lost what dead processes left reserved."""
        return load_answers(self._store, self._claim.run_id, cells)

    def reserve(self, wanted: Sequence[Wanted]) -> Reserved:
        """Reserve in the order given what nobody else has, until a cap refuses."""
        mine: set[Key] = set()
        refusal = None
        with self._store._write() as connection:
            self._fence(connection)
            connection.execute(text(_LOSE), {"now": time.time()})
            for one in wanted:
                values = {
                    **self._keyed(one.key),
                    "model": one.model,
                    "prompt": one.prompt,
                    "query": one.query,
                    "worst": one.worst_usd,
                    "now": time.time(),
                }
                if not connection.execute(text(_RESERVE), values).rowcount:
                    continue
                if not connection.execute(text(_CHARGE), {"run_id": self._claim.run_id, "worst": one.worst_usd}).rowcount:
                    connection.execute(text(_RELEASE), self._keyed(one.key))
                    refusal = self._refusal(connection, one.worst_usd)
                    break
                mine.add(one.key)
        return Reserved(frozenset(mine), refusal)

    def settle(self, answers: Sequence[Settled], released: Sequence[Key]) -> None:
        """Store what came and give back what cannot have been billed; rows that were marked lost meanwhile stay lost."""
        if not answers and not released:
            return
        with self._store._write() as connection:
            for key, answer, state in answers:
                worst = self._worst(connection, key)
                values = {
                    **self._keyed(key),
                    "state": state,
                    "text": answer.text,
                    "finish_reason": answer.finish_reason,
                    "prompt_tokens": answer.prompt_tokens,
                    "completion_tokens": answer.completion_tokens,
                    "usd": None if math.isnan(answer.usd) else answer.usd,
                    "latency_s": answer.latency_s,
                    "served_model": answer.served_model,
                    "error": answer.error,
                    "is_counted": int(answer.is_counted),
                    "now": time.time(),
                }
                if connection.execute(text(_SETTLE), values).rowcount and not math.isnan(answer.usd):
                    self._credit(connection, worst - answer.usd, 0)
            for key in released:
                worst = self._worst(connection, key)
                if connection.execute(text(_RELEASE), self._keyed(key)).rowcount:
                    self._credit(connection, worst, 1)

    def report(self, *, n_in_flight: int, n_reused: int, waiting: str) -> None:
        """Say how it goes, for those who watch."""
        with self._store._write() as connection:
            connection.execute(
                text("UPDATE spending SET in_flight = :n, reused = :reused, waiting = :waiting WHERE run_id = :run_id"),
                {"n": n_in_flight, "reused": n_reused, "waiting": waiting, "run_id": self._claim.run_id},
            )

    def _fence(self, connection: Connection) -> None:
        self._store._fenced(connection, self._claim, "token = token")

    def _keyed(self, key: Key) -> dict[str, Any]:
        return {"cell": key.cell, "sample": key.sample, "run_id": self._claim.run_id, "token": self._claim.token}

    def _worst(self, connection: Connection, key: Key) -> float:
        found = connection.execute(
            text(
                "SELECT worst_usd FROM completions WHERE cell = :cell AND sample = :sample AND run_id = :run_id "
                "AND token = :token AND state = 'reserved'"
            ),
            self._keyed(key),
        ).scalar()
        return float(found or 0.0)

    def _credit(self, connection: Connection, usd: float, n_completions: int) -> None:
        connection.execute(
            text("UPDATE spending SET usd = usd - :usd, bought = bought - :n WHERE run_id = :run_id"),
            {"usd": usd, "n": n_completions, "run_id": self._claim.run_id},
        )

    def _refusal(self, connection: Connection, worst_usd: float) -> str:
        now = _spending(connection, self._claim.run_id)
        assert now is not None  # noqa: S101 - made when the ledger was opened
        if now.max_usd is not None and now.usd + worst_usd > now.max_usd:
            return (
                f"The dollar cap of {now.max_usd:,.4f} $ allows no further call: {now.usd:,.4f} $ are spent or reserved and the "
                f"next call may cost {worst_usd:,.4f} $."
            )
        return (
            f"All {now.cap:,} completions of the budget are bought"
            + (f", and {min(now.lost, now.allowance)} more for {now.lost} that were lost when a process died" if now.lost else "")
            + "."
        )


def spending(store: Store, run_id: str) -> Spending | None:
    """Return what a run has bought; None where it buys nothing."""
    with store._read() as connection:
        return _spending(connection, run_id)


def _spending(connection: Connection, run_id: str) -> Spending | None:
    row = connection.execute(text("SELECT * FROM spending WHERE run_id = :id"), {"id": run_id}).one_or_none()
    if row is None:
        return None
    counts = connection.execute(
        text("SELECT state, COUNT(*) AS n FROM completions WHERE run_id = :id GROUP BY state"), {"id": run_id}
    ).all()
    of = {str(state): int(n) for state, n in counts}
    return Spending(
        cap=row.cap,
        allowance=row.allowance,
        max_usd=row.max_usd,
        bought=row.bought,
        lost=of.get("lost", 0),
        failed=of.get("failed", 0),
        usd=row.usd,
        in_flight=row.in_flight,
        reused=row.reused,
        waiting=row.waiting,
    )
