"""Reading what the ledger holds; nothing is reserved, bought or changed here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlalchemy import text

from iapo_core.environments.live import Answer, Key
from iapo_core.runs.store import Store

_BATCH = 400  # SQLite's and PostgreSQL's statements take many more parameters than this


class RunAnswers:
    """The completions that are settled, as one run sees them; what was read once is kept in memory."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._known: dict[Key, Answer] = {}
        self._read: set[str] = set()

    def load(self, cells: Sequence[str]) -> dict[Key, Answer]:
        """Return what is settled of these cells, whoever paid, and of those that were asked for before."""
        fresh = [cell for cell in cells if cell not in self._read]
        self._known |= load_answers(self._store, self._run_id, fresh)
        self._read.update(fresh)
        return self._known


def load_answers(store: Store, run_id: str, cells: Sequence[str]) -> dict[Key, Answer]:
    """Return what is settled of these cells, whoever paid; `is_reused` where that was another run."""
    found: dict[Key, Answer] = {}
    with store._read() as connection:
        for start in range(0, len(cells), _BATCH):
            part = {f"c{i}": cell for i, cell in enumerate(cells[start : start + _BATCH])}
            rows = connection.execute(
                text(
                    "SELECT cell, sample, text, finish_reason, prompt_tokens, completion_tokens, usd, latency_s, "  # noqa: S608
                    "served_model, error, is_counted, run_id FROM completions "
                    f"WHERE state IN ('settled', 'failed') AND cell IN ({', '.join(f':{name}' for name in part)})"
                ),
                part,
            )
            for row in rows:
                found[Key(row.cell, row.sample)] = Answer(
                    text=row.text,
                    finish_reason=row.finish_reason,
                    prompt_tokens=row.prompt_tokens,
                    completion_tokens=row.completion_tokens,
                    usd=math.nan if row.usd is None else row.usd,
                    latency_s=row.latency_s,
                    served_model=row.served_model,
                    error=row.error,
                    is_counted=bool(row.is_counted),
                    is_reused=row.run_id != run_id,
                )
    return found
