"""How the database is reached: engines, transactions that begin as writers, and refusals in words.

Everything that is particular to SQLite stands here; the statements of the store are the same for PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from iapo_core.errors import StoreError

BUSY_S = 30


def make_engine(address: URL, *, is_writer: bool) -> Engine:
    """Return an engine; with SQLite a writer's transactions take the write lock when they begin."""
    if address.get_backend_name() != "sqlite":
        return create_engine(address, pool_pre_ping=True)
    engine = create_engine(address, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin when we say so
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    if is_writer:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # A deferred transaction that turns into a writer fails at once when another one writes, whatever the time-out.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def in_words(place: str) -> Iterator[None]:
    """Turn what the database says into one sentence; violated uniqueness passes, the store answers it.

    Raises:
        StoreError: If the database refuses.
    """
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise StoreError(
            f"The database {place} refuses ({reason(error)}); nothing was changed. Free it, then try again."
        ) from error


def reason(error: Exception) -> str:
    """Return the driver's own words, one line of them."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
