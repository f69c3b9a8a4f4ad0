"""Runs and their events in a database: SQLite in WAL mode by default, PostgreSQL by URL.

Every write names the fencing token of the lease that it was made under, so a worker that lost its lease (it slept, it was
stopped) changes nothing any more. No transaction is held while something else is waited for.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from iapo_core.environments.redact import storable
from iapo_core.errors import RunError, StoreError
from iapo_core.events import Event, Finished, Planned, Pulled, from_json, to_json
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import TRY, data_dir
from iapo_core.runs.claims import KEYED_WAIT_S, rest_keyless, take
from iapo_core.runs.config import RunConfig
from iapo_core.runs.engine import in_words, make_engine, reason
from iapo_core.runs.migrations import migrate
from iapo_core.runs.rows import Claim, LeaseLostError, RunRow, State, run_row

__all__ = ["Claim", "LeaseLostError", "RunRow", "State", "Store"]


class Store:
    """Reads and writes runs; safe to share between threads and processes."""

    def __init__(self, writer: Engine, reader: Engine, url: str, place: str) -> None:
        self._writer, self._reader, self.url, self.place = writer, reader, url, place

    @classmethod
    def open(cls, url: str | None = None) -> Self:
        """Open the database, creating or upgrading it; IAPO_DATABASE_URL, or `iapo.db` in the data folder.

        Raises:
            StoreError: If it cannot be used, with the reason.
        """
        given = url or os.environ.get("IAPO_DATABASE_URL") or f"sqlite:///{data_dir() / 'iapo.db'}"
        try:
            address = make_url(given)
            if address.get_backend_name() == "sqlite" and address.database:  # the worker may stand in another folder
                address = address.set(database=str(Path(address.database).absolute()))
            place = address.render_as_string(hide_password=True)
        except SQLAlchemyError as error:
            raise StoreError(
                "IAPO_DATABASE_URL is not an address such as sqlite:////home/me/iapo.db or postgresql://me@host/iapo; correct it."
            ) from error
        try:
            writer, reader = make_engine(address, is_writer=True), make_engine(address, is_writer=False)
            try:
                _upgrade(writer, place)
            except (DBAPIError, StoreError):
                writer.dispose()
                raise
        except (SQLAlchemyError, ModuleNotFoundError) as error:
            raise StoreError(
                f"The database {place} cannot be used ({reason(error)}); check the file or IAPO_DATABASE_URL."
            ) from error
        return cls(writer, reader, address.render_as_string(hide_password=False), place)

    def close(self) -> None:
        """Give all connections back."""
        self._writer.dispose()
        self._reader.dispose()

    def create_run(
        self,
        config: RunConfig,
        nonce: str | None = None,
        *,
        run_id: str | None = None,
        is_kept: bool = False,
        needs_keys: bool = False,
    ) -> str:
        """Queue a run; the same nonce gives the same run, however often it is sent.

        Args:
            config: What it is to do.
            nonce: One per click.
            run_id: A name of the caller's; a new one where left out.
            is_kept: Leave it resting, so that no worker takes it before the caller asks for it to be resumed.
            needs_keys: Its keys are typed and live in one worker's memory; no other worker takes it.
        """
        run_id = run_id or secrets.token_hex(6)
        values = {
            "id": run_id,
            "nonce": nonce,
            "config": config.model_dump_json(),
            "fingerprint": config.fingerprint,
            "state": "stopped" if is_kept else "queued",
            "now": time.time(),
            "needs_keys": int(needs_keys),
            "until": time.time() + KEYED_WAIT_S if needs_keys else 0,
        }
        try:
            with self._write() as connection:
                connection.execute(
                    text(
                        "INSERT INTO runs (id, nonce, config, fingerprint, state, created_at, needs_keys, lease_until) "
                        "VALUES (:id, :nonce, :config, :fingerprint, :state, :now, :needs_keys, :until)"
                    ),
                    values,
                )
        except IntegrityError:
            with self._read() as connection:
                where = "nonce = :nonce OR id = :id" if nonce else "id = :id"
                found = connection.execute(text(f"SELECT id FROM runs WHERE {where}"), values).scalar()  # noqa: S608
            return str(found)
        return run_id

    def run(self, run_id: str) -> RunRow:
        """Return a run.

        Raises:
            RunError: If there is none.
        """
        with self._read() as connection:
            row = connection.execute(text("SELECT * FROM runs WHERE id = :id"), {"id": run_id}).one_or_none()
        if row is None:
            raise RunError(f"There is no run {run_id!r} in this database; open one from the list of recent runs.")
        return run_row(row)

    def runs(self, limit: int = 50) -> list[RunRow]:
        """Return the newest runs first, without tests on a few queries."""
        with self._read() as connection:
            newest = text("SELECT * FROM runs WHERE id NOT LIKE :tests ORDER BY created_at DESC, id LIMIT :limit")
            rows = connection.execute(newest, {"limit": limit, "tests": f"{TRY}%"}).all()
        return [run_row(row) for row in rows]

    def events(self, run_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """Return the events with a sequence number above `after`, in order."""
        return [(seq, from_json(payload)) for seq, payload in self.payloads(run_id, after)]

    def payloads(self, run_id: str, after: int = 0) -> list[tuple[int, str]]:
        """Return stored events as the text that was stored."""
        with self._read() as connection:
            rows = connection.execute(
                text("SELECT seq, payload FROM events WHERE run_id = :id AND seq > :after ORDER BY seq"),
                {"id": run_id, "after": after},
            ).all()
        return [(int(row.seq), str(row.payload)) for row in rows]

    def request(self, run_id: str, command: Literal["cancel", "pause", "resume"]) -> None:
        """Ask for a run to be stopped (what it has is kept), to rest until it is resumed, or to go on.

        Raises:
            RunError: If its state does not allow that.
        """
        now = time.time()
        if command != "resume":
            statement = (
                "UPDATE runs SET requested = :command, "
                "finished_at = CASE WHEN state = 'queued' AND round = 0 THEN :now ELSE finished_at END, "
                "state = CASE WHEN state = 'queued' AND round = 0 THEN 'stopped' ELSE state END, "
                "message = CASE WHEN state = 'queued' AND round = 0 THEN 'Stopped before it began.' ELSE message END "
                "WHERE id = :id AND state IN ('queued', 'running')"
            )
        else:
            statement = (
                "UPDATE runs SET requested = NULL, state = 'queued', message = '', finished_at = NULL, "
                "lease_until = CASE WHEN needs_keys = 1 THEN :until ELSE 0 END "
                "WHERE id = :id AND state IN ('stopped', 'failed')"
            )
        with self._write() as connection:
            values = {"id": run_id, "now": now, "command": command, "until": now + KEYED_WAIT_S}
            n_changed = connection.execute(text(statement), values).rowcount
        if not n_changed:
            state = self.run(run_id).state
            raise RunError(f"Run {run_id} is {state}, so it cannot be asked to {command}.")

    def claim(self, worker_id: str, lease_s: float, run_id: str | None = None, *, holds_keys: bool = False) -> Claim | None:
        """Take the oldest run that is queued, or whose worker's lease ran out; None if there is none.

        Args:
            worker_id: Who takes it.
            lease_s: For how long, unless renewed.
            run_id: Take this run or none.
            holds_keys: True where the worker was given the keys that were typed for this run.
        """
        with self._write() as connection:
            return take(connection, worker_id, lease_s, run_id, holds_keys=holds_keys)

    def rest_keyless(self) -> None:
        """Bring the runs to rest whose keys have gone with their worker; they say that the key must be given again."""
        with self._read() as connection:
            if not connection.execute(text("SELECT 1 FROM runs WHERE needs_keys = 1 AND state IN ('queued', 'running')")).first():
                return
        with self._write() as connection:
            rest_keyless(connection)

    def renew(self, claim: Claim, lease_s: float) -> str | None:
        """Renew the lease; returns what the run was asked to do, if anything.

        Raises:
            LeaseLostError: If another worker has the run.
        """
        with self._write() as connection:
            self._fenced(connection, claim, "lease_until = :until", until=time.time() + lease_s)
            requested = connection.execute(text("SELECT requested FROM runs WHERE id = :id"), {"id": claim.run_id}).scalar()
        return str(requested) if requested else None

    def requested(self, run_id: str) -> str | None:
        """Return what the run was asked to do, if anything."""
        with self._read() as connection:
            return connection.execute(text("SELECT requested FROM runs WHERE id = :id"), {"id": run_id}).scalar()

    def append(self, claim: Claim, seq: int, event: Event) -> None:
        """Store the next event and what it says of the run's progress, in one transaction.

        Raises:
            LeaseLostError: If another worker has the run.
        """
        progress: dict[str, Any] = {}
        if isinstance(event, Planned):
            progress = {"round": event.round, "n_rounds": event.n_rounds}
        elif isinstance(event, Pulled | Finished):
            progress = {"spent": event.spent}
        with self._write() as connection:
            self._fenced(connection, claim, ", ".join(["token = token", *(f"{name} = :{name}" for name in progress)]), **progress)
            connection.execute(
                text("INSERT INTO events (run_id, seq, payload) VALUES (:id, :seq, :payload)"),
                {"id": claim.run_id, "seq": seq, "payload": to_json(event)},
            )

    def finish(self, claim: Claim, state: State, *, message: str = "", policy: Policy | None = None) -> None:
        """Set the run's last state and give the lease back; a wish outlives a run that is only queued again.

        Raises:
            LeaseLostError: If another worker has the run.
        """
        with self._write() as connection:
            self._fenced(
                connection,
                claim,
                "state = :state, message = :message, policy = COALESCE(:policy, policy), finished_at = :now, lease_until = 0, "
                "owner = NULL" + ("" if state == "queued" else ", requested = NULL"),
                state=state,
                message=storable(message),
                policy=None if policy is None else policy.model_dump_json(),
                now=None if state == "queued" else time.time(),
            )

    def beat(self, worker_id: str) -> None:
        """Say that a worker lives."""
        with self._write() as connection:
            values = {"id": worker_id, "now": time.time()}
            if not connection.execute(text("UPDATE workers SET beat = :now WHERE id = :id"), values).rowcount:
                connection.execute(text("INSERT INTO workers (id, beat) VALUES (:id, :now)"), values)

    def sign_off(self, worker_id: str) -> None:
        """Say that a worker ends, and forget those that ended without a word."""
        with self._write() as connection:
            connection.execute(
                text("DELETE FROM workers WHERE id = :id OR beat < :old"), {"id": worker_id, "old": time.time() - 3600}
            )

    def last_beat(self) -> float:
        """Return when a worker was last seen, 0 if never."""
        with self._read() as connection:
            return float(connection.execute(text("SELECT MAX(beat) FROM workers")).scalar() or 0.0)

    def _fenced(self, connection: Connection, claim: Claim, assignments: str, **values: Any) -> None:
        n_changed = connection.execute(
            text(f"UPDATE runs SET {assignments} WHERE id = :run_id AND token = :run_token AND state = 'running'"),  # noqa: S608
            {**values, "run_id": claim.run_id, "run_token": claim.token},
        ).rowcount
        if not n_changed:
            raise LeaseLostError(f"Another worker has taken run {claim.run_id} over; this one stops.")

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with in_words(self.place), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with in_words(self.place), self._reader.connect() as connection:
            yield connection


def _upgrade(writer: Engine, place: str) -> None:
    """Bring the schema up to date; when another process does so first, look again."""
    try:
        with writer.begin() as connection:
            migrate(connection, place=place)
    except DBAPIError:
        with writer.begin() as connection:
            migrate(connection, place=place)
