"""The database's schema as an ordered list of migrations; what has been applied is recorded and never changed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, inspect, text

from iapo_core.errors import StoreError

MIGRATIONS: Sequence[tuple[str, ...]] = (
    (
        """CREATE TABLE runs (
            id VARCHAR(32) PRIMARY KEY, nonce VARCHAR(64) UNIQUE, config TEXT NOT NULL, fingerprint VARCHAR(64) NOT NULL,
            state VARCHAR(16) NOT NULL, message TEXT NOT NULL DEFAULT '', spent BIGINT NOT NULL DEFAULT 0,
            round INTEGER NOT NULL DEFAULT 0, n_rounds INTEGER NOT NULL DEFAULT 0, requested VARCHAR(16),
            token INTEGER NOT NULL DEFAULT 0, owner VARCHAR(64), lease_until DOUBLE PRECISION NOT NULL DEFAULT 0,
            created_at DOUBLE PRECISION NOT NULL, started_at DOUBLE PRECISION, finished_at DOUBLE PRECISION, policy TEXT)""",
        "CREATE INDEX runs_by_state ON runs (state, created_at)",
        """CREATE TABLE events (
            run_id VARCHAR(32) NOT NULL REFERENCES runs (id), seq INTEGER NOT NULL, payload TEXT NOT NULL,
            PRIMARY KEY (run_id, seq))""",
        "CREATE TABLE workers (id VARCHAR(64) PRIMARY KEY, beat DOUBLE PRECISION NOT NULL)",
    ),
    (
        """CREATE TABLE completions (
            cell VARCHAR(64) NOT NULL, sample INTEGER NOT NULL, attempt INTEGER NOT NULL, state VARCHAR(8) NOT NULL,
            run_id VARCHAR(32) NOT NULL REFERENCES runs (id), token INTEGER NOT NULL, model VARCHAR(200) NOT NULL,
            prompt VARCHAR(120) NOT NULL, query VARCHAR(120) NOT NULL, text TEXT NOT NULL DEFAULT '', finish_reason VARCHAR(40),
            prompt_tokens BIGINT NOT NULL DEFAULT 0, completion_tokens BIGINT NOT NULL DEFAULT 0,
            worst_usd DOUBLE PRECISION NOT NULL, usd DOUBLE PRECISION, latency_s DOUBLE PRECISION NOT NULL DEFAULT 0,
            served_model VARCHAR(200), error TEXT, is_counted INTEGER NOT NULL DEFAULT 1,
            reserved_at DOUBLE PRECISION NOT NULL, settled_at DOUBLE PRECISION, PRIMARY KEY (cell, sample, attempt))""",
        "CREATE INDEX completions_by_state ON completions (state, run_id)",
        """CREATE TABLE spending (
            run_id VARCHAR(32) PRIMARY KEY REFERENCES runs (id), cap BIGINT NOT NULL, allowance BIGINT NOT NULL,
            max_usd DOUBLE PRECISION, bought BIGINT NOT NULL DEFAULT 0, usd DOUBLE PRECISION NOT NULL DEFAULT 0,
            in_flight INTEGER NOT NULL DEFAULT 0, reused BIGINT NOT NULL DEFAULT 0, waiting TEXT NOT NULL DEFAULT '')""",
    ),
    ("ALTER TABLE runs ADD COLUMN needs_keys INTEGER NOT NULL DEFAULT 0",),
    (
        "ALTER TABLE completions ADD COLUMN kind VARCHAR(12) NOT NULL DEFAULT 'completion'",
        *(
            f"ALTER TABLE spending ADD COLUMN {column} NOT NULL DEFAULT 0"
            for column in ("verdict_cap BIGINT", "verdicts BIGINT", "verdict_usd DOUBLE PRECISION", "unread BIGINT")
        ),
    ),
)


def migrate(connection: Connection, *, place: str) -> None:
    """Bring the database to this version, inside the caller's transaction.

    Raises:
        StoreError: If it was written by newer software, or holds other tables.
    """
    tables = set(inspect(connection).get_table_names())
    version = 0
    if "iapo_schema" in tables:
        version = int(connection.execute(text("SELECT MAX(version) FROM iapo_schema")).scalar() or 0)
    elif tables & {"runs", "events", "workers"}:
        raise StoreError(f"{place} holds tables of other software; give IAPO its own database with IAPO_DATABASE_URL.")
    else:
        connection.execute(text("CREATE TABLE iapo_schema (version INTEGER PRIMARY KEY)"))
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{place} was written by a newer IAPO (schema {version}, this one knows {len(MIGRATIONS)}); "
            "update IAPO or use another database."
        )
    for number in range(version + 1, len(MIGRATIONS) + 1):
        for statement in MIGRATIONS[number - 1]:
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO iapo_schema (version) VALUES (:version)"), {"version": number})
