"""What the store gives out: a run as it stands, and the right to drive one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import Row

from iapo_core.errors import StoreError
from iapo_core.policy import Policy
from iapo_core.runs.config import RunConfig

State = Literal["queued", "running", "finished", "stopped", "failed"]
ACTIVE: tuple[State, ...] = ("queued", "running")


@dataclass(frozen=True)
class RunRow:
    """One run as it stands; times are seconds since the epoch."""

    id: str
    config: RunConfig
    fingerprint: str  # of the config when the run was created
    state: State
    message: str
    spent: int
    round: int
    n_rounds: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    policy: Policy | None
    needs_keys: bool = False  # its keys were typed and are stored nowhere

    @property
    def is_active(self) -> bool:
        """True while the run waits or goes on."""
        return self.state in ACTIVE


@dataclass(frozen=True)
class Claim:
    """The right to drive a run, for as long as the lease is renewed; a later claim has a higher token."""

    run_id: str
    token: int


class LeaseLostError(StoreError):
    """Another worker has taken the run over."""


def run_row(row: Row[Any]) -> RunRow:
    """Read one row of the table `runs`.

    Raises:
        StoreError: If its config or policy is not what this package wrote.
    """
    try:
        config = RunConfig.model_validate_json(row.config)
        policy = None if row.policy is None else Policy.model_validate_json(row.policy)
    except ValidationError as error:
        raise StoreError(
            f"Run {row.id} cannot be read ({error.errors()[0]['msg']}); other software changed the database; restore a copy."
        ) from error
    return RunRow(
        id=row.id,
        config=config,
        fingerprint=row.fingerprint,
        state=row.state,
        message=row.message,
        spent=row.spent,
        round=row.round,
        n_rounds=row.n_rounds,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        policy=policy,
        needs_keys=bool(row.needs_keys),
    )
