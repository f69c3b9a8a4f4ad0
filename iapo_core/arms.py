"""Candidates, contexts and the grid of arms (candidate, N) as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from iapo_core.errors import ContextError, TaskError

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """What is deployed: a candidate and its inference scale, N completions per query."""

    candidate: str
    n: int


@dataclass(frozen=True, eq=False)
class Contexts:
    """The preferences to serve, as arrays.

    Attributes:
        ids: One name per context.
        weights: Weight per objective, non-negative, shape (C, K).
        cost_weights: Weight of cost, non-negative, shape (C,).
        distinct: Objective weights that occur, duplicates removed, shape (W, K).
        which: Row of `distinct` that each context uses, shape (C,).
    """

    ids: tuple[str, ...]
    weights: FloatArray
    cost_weights: FloatArray
    distinct: FloatArray = field(init=False)
    which: IntArray = field(init=False)

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=float)
        cost_weights = np.asarray(self.cost_weights, dtype=float)
        if weights.ndim != 2 or cost_weights.shape != (len(self.ids),) or len(weights) != len(self.ids) or not self.ids:
            raise ContextError(
                f"{len(self.ids)} contexts need weights of shape ({len(self.ids)}, K) and as many cost weights, "
                f"not {weights.shape} and {cost_weights.shape}."
            )
        if len(set(self.ids)) != len(self.ids):
            raise ContextError("Two contexts have the same name; give each its own.")
        bad = ~(np.isfinite(weights).all(axis=1) & (weights >= 0).all(axis=1) & np.isfinite(cost_weights) & (cost_weights >= 0))
        if bad.any():
            raise ContextError(
                f"Context {self.ids[int(np.argmax(bad))]!r} has a weight that is negative or not a number; "
                "weights are finite and at least 0 (cost is subtracted)."
            )
        idle = ~(weights.any(axis=1) | (cost_weights > 0))
        if idle.any():
            raise ContextError(f"Context {self.ids[int(np.argmax(idle))]!r} weighs nothing; give one objective a weight above 0.")
        distinct, which = np.unique(weights, axis=0, return_inverse=True)
        for name, value in (
            ("weights", weights),
            ("cost_weights", cost_weights),
            ("distinct", distinct),
            ("which", which.reshape(-1)),
        ):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, context_id: str) -> int:
        """Return the row of this context.

        Raises:
            ContextError: If it is unknown.
        """
        try:
            return self.ids.index(context_id)
        except ValueError:
            raise ContextError(f"There is no context {context_id!r}; there are {', '.join(map(repr, self.ids[:30]))}.") from None


@dataclass(frozen=True, eq=False)
class Grid:
    """The arms of a run: P candidates x N scales, judged in C contexts.

    Arm (p, k) has the flat index p * n_max + k - 1.
    """

    candidates: tuple[str, ...]
    n_max: int
    contexts: Contexts

    def __post_init__(self) -> None:
        if not self.candidates or self.n_max < 1:
            raise TaskError(
                f"A grid needs a candidate and a scale, not {len(self.candidates)} candidates and n_max {self.n_max}."
            )
        if len(set(self.candidates)) != len(self.candidates):
            raise TaskError("Two candidates have the same name; give each its own.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, P, N)."""
        return len(self.contexts), len(self.candidates), self.n_max

    @property
    def n_arms(self) -> int:
        """|A| = P x N."""
        return len(self.candidates) * self.n_max

    def arm(self, candidate: int, n: int) -> Arm:
        """Name the arm of candidate row `candidate` at scale n."""
        return Arm(self.candidates[candidate], int(n))
