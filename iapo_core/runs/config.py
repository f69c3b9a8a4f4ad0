"""The frozen configuration of a run; equal configs and completions give equal runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from iapo_core.arms import Contexts
from iapo_core.environment import Environment
from iapo_core.environments.live import LiveSettings
from iapo_core.errors import ContextError
from iapo_core.task import MAX_SCALE, Context


class RunConfig(BaseModel):
    """What a run was asked to do.

    `pace_s` is the least time a round takes, so that a recording can be watched; it changes nothing that is decided and is
    left out of the fingerprint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    task_fingerprint: str
    budget: Annotated[int, Field(ge=1, le=10**9)]
    algorithm: str = "psst"
    options: dict[str, Any] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    n_max: Annotated[int, Field(ge=1, le=MAX_SCALE)]
    contexts: tuple[Context, ...] = Field(min_length=1, max_length=2_000)
    live: LiveSettings | None = None
    pace_s: Annotated[float, Field(ge=0, le=60)] = 0.0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides the run."""
        left_out = {"pace_s"} if self.live is not None else {"pace_s", "live"}
        # Defaults are left out, so that a field that a later version adds does not change the runs of before.
        text = json.dumps(self.model_dump(mode="json", exclude=left_out, exclude_defaults=True), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def heldout_budget(self) -> int:
        """How many of the budget's completions a live run sets aside to check the picks on held-out queries."""
        return 0 if self.live is None else int(self.live.heldout_share * self.budget)

    def arguments(self, environment: Environment) -> dict[str, Any]:
        """Return what `iapo_core.optimize.start` takes beside the environment; its budget is what the rounds may spend.

        Raises:
            ContextError: If a context does not fit the environment.
        """
        return {
            "budget": self.budget - self.heldout_budget,
            "algorithm": self.algorithm,
            "seed": self.seed,
            "n_max": self.n_max,
            "contexts": weighed(self.contexts, environment),
            **self.options,
        }


def weighed(contexts: Sequence[Context], environment: Environment) -> Contexts:
    """Turn named weights into arrays in the order of the environment's objectives.

    Raises:
        ContextError: If one weighs an objective that is not there, or nothing at all.
    """
    for context in contexts:
        if unknown := sorted(set(context.weights) - set(environment.objectives)):
            raise ContextError(
                f"Context {context.id!r} weighs {unknown[0]!r}, which {environment.name!r} does not have; "
                f"its objectives are {', '.join(environment.objectives)}."
            )
    return Contexts(
        tuple(c.id for c in contexts),
        np.array([[c.weights.get(o, 0.0) for o in environment.objectives] for c in contexts]),
        np.array([c.cost_weight for c in contexts]),
    )


def named(contexts: Contexts, objectives: Sequence[str]) -> tuple[Context, ...]:
    """Turn arrays back into named weights."""
    return tuple(
        Context(
            id=contexts.ids[c],
            weights=dict(zip(objectives, map(float, contexts.weights[c]), strict=True)),
            cost_weight=float(contexts.cost_weights[c]),
        )
        for c in range(len(contexts))
    )
