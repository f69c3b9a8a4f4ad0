"""What a run has bought so far, as it is shown and as its caps are kept."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from iapo_core.runs.store import Store


@dataclass(frozen=True)
class Spending:
    """What a run has bought so far; `bought` counts what is reserved and what was lost as well.

    Verdicts are calls of judges: they have a cap and an allowance of their own and share the dollars. `usd` is everything,
    `verdict_usd` the judges' part of it. `unread` counts verdicts that gave no score.
    """

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
    verdict_cap: int = 0
    verdicts: int = 0
    verdicts_lost: int = 0
    verdict_usd: float = 0.0
    unread: int = 0

    @property
    def room(self) -> int:
        """Completions that may still be reserved."""
        return self.cap + min(self.lost, self.allowance) - self.bought

    @property
    def verdict_room(self) -> int:
        """Verdicts that may still be reserved."""
        return self.verdict_cap + min(self.verdicts_lost, self.allowance) - self.verdicts

    def allows(self, more_usd: float) -> bool:
        """Return whether the dollar cap allows as many dollars more."""
        return self.max_usd is None or self.usd + more_usd <= self.max_usd + 1e-12


def spending(store: Store, run_id: str) -> Spending | None:
    """Return what a run has bought; None where it buys nothing."""
    with store._read() as connection:
        return read_spending(connection, run_id)


def read_spending(connection: Connection, run_id: str) -> Spending | None:
    """Return what a run has bought, within the caller's transaction."""
    row = connection.execute(text("SELECT * FROM spending WHERE run_id = :id"), {"id": run_id}).one_or_none()
    if row is None:
        return None
    counts = connection.execute(
        text(
            "SELECT kind, state, COUNT(*) AS n FROM completions WHERE run_id = :id AND state IN ('lost', 'failed') "
            "GROUP BY kind, state"
        ),
        {"id": run_id},
    ).all()
    of = {(str(kind), str(state)): int(n) for kind, state, n in counts}
    return Spending(
        cap=row.cap,
        allowance=row.allowance,
        max_usd=row.max_usd,
        bought=row.bought,
        lost=of.get(("completion", "lost"), 0),
        failed=of.get(("completion", "failed"), 0),
        usd=row.usd,
        in_flight=row.in_flight,
        reused=row.reused,
        waiting=row.waiting,
        verdict_cap=row.verdict_cap,
        verdicts=row.verdicts,
        verdicts_lost=of.get(("verdict", "lost"), 0),
        verdict_usd=row.verdict_usd,
        unread=row.unread,
    )
