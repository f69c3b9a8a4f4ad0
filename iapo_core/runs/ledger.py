"""The ledger: every completion is reserved before its call and settled after it, in one database for all runs.

A row says who pays (run and fencing token). A process that dies leaves rows reserved; the next claim of that run, or whoever
waits for such a row, marks them lost: they count as bought at the most they can have cost, and the draw may be bought anew as
another attempt, within the run's allowance. So at most `cap + allowance` completions of a run can ever have been billed.
Verdicts of judges are rows of another kind, with a cap and an allowance of their own and the same dollars.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from iapo_core.environments.live import Answer, Key, LiveSettings, Progress, Reserved, Settled, Wanted
from iapo_core.runs.answers import load_answers
from iapo_core.runs.rows import Claim, LeaseLostError
from iapo_core.runs.spending import Spending, read_spending, spending
from iapo_core.runs.store import Store

__all__ = ["Ledger", "Spending", "spending"]

_CELLS: Any = bindparam("cells", expanding=True)
_OURS = "run_id = :run_id AND token = :token AND state = 'reserved'"
_OWN = text("UPDATE runs SET token = token WHERE id = :run_id AND token = :token AND state = 'running'")
_ATTEMPTS = text(
    "SELECT cell, sample, COUNT(*) AS n, SUM(CASE WHEN state = 'lost' THEN 0 ELSE 1 END) AS alive FROM completions "
    "WHERE cell IN :cells GROUP BY cell, sample"
).bindparams(_CELLS)
_RESERVE = text(
    "INSERT INTO completions (cell, sample, attempt, state, run_id, token, model, prompt, query, worst_usd, reserved_at, kind) "
    "VALUES (:cell, :sample, :attempt, 'reserved', :run_id, :token, :model, :prompt, :query, :worst, :now, :kind) "
    "ON CONFLICT DO NOTHING"
)
_RESERVED = f"SELECT cell, sample, worst_usd, kind FROM completions WHERE {_OURS} AND cell IN :cells"  # noqa: S608
_SETTLE = text(
    "UPDATE completions SET state = :state, text = :text, finish_reason = :finish_reason, prompt_tokens = :prompt_tokens, "  # noqa: S608
    "completion_tokens = :completion_tokens, usd = :usd, latency_s = :latency_s, served_model = :served_model, error = :error, "
    f"is_counted = :is_counted, settled_at = :now WHERE cell = :cell AND sample = :sample AND {_OURS}"
)
_RELEASE = text(f"DELETE FROM completions WHERE cell = :cell AND sample = :sample AND {_OURS}")  # noqa: S608
_LOSE = text(
    "UPDATE completions SET state = 'lost', settled_at = :now WHERE state = 'reserved' AND run_id <> :run_id AND NOT EXISTS ("
    "SELECT 1 FROM runs WHERE runs.id = completions.run_id AND runs.token = completions.token AND runs.state = 'running' "
    "AND runs.lease_until > :now)"
)
_CHARGE = text(
    "UPDATE spending SET bought = bought + :bought, usd = usd + :usd, verdicts = verdicts + :verdicts, "
    "verdict_usd = verdict_usd + :verdict_usd WHERE run_id = :run_id"
)
_REPORT = text(
    "UPDATE spending SET in_flight = :n_in_flight, reused = :n_reused, unread = :n_unread, waiting = :waiting "
    "WHERE run_id = :run_id"
)


class Ledger:
    """The completion store of one claimed run.

    Args:
        store: The database.
        claim: Under which rows are written.
        settings: With the allowance and the dollar cap.
        cap: Completions that may be bought.
        n_judges: Verdicts that each completion needs.
    """

    def __init__(self, store: Store, claim: Claim, settings: LiveSettings, *, cap: int, n_judges: int = 0) -> None:
        self._store, self._claim = store, claim
        self._us = {"run_id": claim.run_id, "token": claim.token}
        lock = (
            " FOR UPDATE" if store._writer.dialect.name == "postgresql" else ""
        )  # rows that others may mark lost; SQLite has one writer anyway
        self._reserved = text(_RESERVED + lock).bindparams(_CELLS)
        values = {
            "run_id": claim.run_id,
            "cap": cap,
            "allowance": settings.lost_allowance,
            "max_usd": settings.max_usd,
            "verdict_cap": cap * n_judges,
        }
        with store._write() as connection:
            if not connection.execute(_OWN, self._us).rowcount:
                raise self._lease_lost()
            connection.execute(
                text(
                    "INSERT INTO spending (run_id, cap, allowance, max_usd, verdict_cap) "
                    "SELECT CAST(:run_id AS VARCHAR(32)), :cap, :allowance, CAST(:max_usd AS DOUBLE PRECISION), :verdict_cap "
                    "WHERE NOT EXISTS (SELECT 1 FROM spending WHERE run_id = CAST(:run_id AS VARCHAR(32)))"
                ),
                values,
            )
            connection.execute(
                text(
                    "UPDATE completions SET state = 'lost', settled_at = :now "
                    "WHERE run_id = :run_id AND token <> :token AND state = 'reserved'"
                ),
                {**self._us, "now": time.time()},
            )

    def load(self, cells: Sequence[str]) -> dict[Key, Answer]:
        """Return what is settled of these cells, whoever paid."""
        return load_answers(self._store, self._claim.run_id, cells)

    def exchange(
        self, answers: Sequence[Settled], released: Sequence[Key], wanted: Sequence[Wanted], progress: Progress
    ) -> Reserved:
        """Store what came, give back what cannot have been billed, and reserve what is wanted, in one transaction.

        Rows that were marked lost meanwhile stay lost. What is wanted is reserved in the order given where nobody else has it,
        until a cap refuses.

        Raises:
            LeaseLostError: If another worker has the run; what came is stored all the same where it is still ours.
        """
        with self._store._write() as connection:
            is_owner = connection.execute(_OWN, self._us).rowcount  # locks the run's row: a run has one exchange at a time
            self._settle(connection, answers, released)
            keys, refusal = self._reserve(connection, wanted) if wanted and is_owner else (frozenset[Key](), None)
            connection.execute(_REPORT, {"run_id": self._claim.run_id, **progress._asdict()})
        if wanted and not is_owner:
            raise self._lease_lost()
        return Reserved(keys, refusal)

    def _settle(self, connection: Connection, answers: Sequence[Settled], released: Sequence[Key]) -> None:
        if not answers and not released:
            return
        cells = sorted({key.cell for key, *_ in answers} | {key.cell for key in released})
        rows = connection.execute(self._reserved, {**self._us, "cells": cells}).all()
        ours = {Key(row.cell, row.sample): (float(row.worst_usd), row.kind == "verdict") for row in rows}
        kept = [one for one in answers if one[0] in ours]
        back = [key for key in released if key in ours]
        credit = {"bought": 0, "usd": 0.0, "verdicts": 0, "verdict_usd": 0.0}
        changes = [(key, answer.usd - ours[key][0], 0) for key, answer, _ in kept if not math.isnan(answer.usd)]
        for key, usd, n in changes + [(key, -ours[key][0], -1) for key in back]:
            is_verdict = ours[key][1]
            credit["usd"] += usd
            credit["verdict_usd"] += usd * is_verdict
            credit["verdicts" if is_verdict else "bought"] += n
        if kept:
            connection.execute(_SETTLE, [self._row(*one) for one in kept])
        if back:
            connection.execute(_RELEASE, [{**self._us, **key._asdict()} for key in back])
        connection.execute(_CHARGE, {"run_id": self._claim.run_id, **credit})

    def _reserve(self, connection: Connection, wanted: Sequence[Wanted]) -> tuple[frozenset[Key], str | None]:
        now = time.time()
        connection.execute(_LOSE, {"now": now, "run_id": self._claim.run_id})
        before = self._spending(connection)
        cells = sorted({one.key.cell for one in wanted})
        attempts = {Key(row.cell, row.sample): row for row in connection.execute(_ATTEMPTS, {"cells": cells})}
        chosen: dict[Key, Wanted] = {}
        refusal, usd, n = None, 0.0, {"completion": 0, "verdict": 0}
        for one in wanted:
            if one.key in chosen or ((row := attempts.get(one.key)) is not None and row.alive):
                continue
            room = before.verdict_room if one.kind == "verdict" else before.room
            if n[one.kind] >= room or not before.allows(usd + one.worst_usd):
                refusal = _refusal(before, one, usd)
                break
            chosen[one.key] = one
            usd += one.worst_usd
            n[one.kind] += 1
        if not chosen:
            return frozenset(), refusal
        rows = [
            {
                **self._us,
                **key._asdict(),
                "attempt": attempts[key].n if key in attempts else 0,
                "model": one.model,
                "prompt": one.prompt,
                "query": one.query,
                "worst": one.worst_usd,
                "kind": one.kind,
                "now": now,
            }
            for key, one in sorted(chosen.items())  # in one order for all, or two runs could wait for each other
        ]
        connection.execute(_RESERVE, rows)
        found = connection.execute(self._reserved, {**self._us, "cells": sorted({key.cell for key in chosen})})
        mine = frozenset(chosen.keys() & {Key(row.cell, row.sample) for row in found})
        verdicts = [chosen[key].worst_usd for key in mine if chosen[key].kind == "verdict"]
        charge = {
            "bought": len(mine) - len(verdicts),
            "usd": sum(chosen[key].worst_usd for key in mine),
            "verdicts": len(verdicts),
            "verdict_usd": sum(verdicts),
        }
        connection.execute(_CHARGE, {"run_id": self._claim.run_id, **charge})
        return mine, refusal

    def _row(self, key: Key, answer: Answer, state: str) -> dict[str, Any]:
        return {
            **self._us,
            **key._asdict(),
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

    def _spending(self, connection: Connection) -> Spending:
        now = read_spending(connection, self._claim.run_id)
        assert now is not None  # noqa: S101 - made when the ledger was opened
        return now

    def _lease_lost(self) -> LeaseLostError:
        return LeaseLostError(f"Another worker has taken run {self._claim.run_id} over; this one stops.")


def _refusal(now: Spending, one: Wanted, reserved_usd: float) -> str:
    if not now.allows(reserved_usd + one.worst_usd):
        return (
            f"The dollar cap of {now.max_usd:,.4f} $ allows no further call: {now.usd + reserved_usd:,.4f} $ are spent or reserved "
            f"and the next call may cost {one.worst_usd:,.4f} $."
        )
    if one.kind == "verdict":
        return f"All {now.verdict_cap:,} verdicts that {now.cap:,} completions need are bought" + _replaced(
            now.verdicts_lost, now.allowance
        )
    return f"All {now.cap:,} completions of the budget are bought" + _replaced(now.lost, now.allowance)


def _replaced(lost: int, allowance: int) -> str:
    return f", and {min(lost, allowance)} more for {lost} that were lost when a process died." if lost else "."
