"""Candidates, contexts and the grid of arms (candidate, N) as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

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


_BLOCK = 2**18  # arms unpacked at once, times eight contexts


@dataclass(frozen=True, eq=False)
class Survivors:
    """The arms that are left in each context, one bit each: 8 MB for 1,000 contexts of 64,000 arms, where a mask takes 64 MB.

    Attributes:
        shape: (C, P, N).
        bits: The mask in C order, packed, shape (ceil(C P N / 8),). Eight contexts always fill whole bytes.
    """

    shape: tuple[int, int, int]
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: BoolArray) -> Self:
        """Pack a mask, or a broadcast view of one, shape (C, P, N)."""
        n_contexts, n_candidates, n_max = mask.shape
        parts = [np.packbits(np.ascontiguousarray(mask[block])) for block in _blocks(n_contexts, n_candidates * n_max)]
        return cls((n_contexts, n_candidates, n_max), np.concatenate(parts))

    @classmethod
    def everything(cls, shape: tuple[int, int, int]) -> Self:
        """Return every arm of every context."""
        return cls.of(np.broadcast_to(True, shape))

    def mask(self) -> BoolArray:
        """Return the mask, shape (C, P, N)."""
        return np.unpackbits(self.bits, count=int(np.prod(self.shape))).view(bool).reshape(self.shape)

    def blocks(self) -> Iterator[tuple[slice, BoolArray]]:
        """Yield the contexts in blocks that fit into little memory: which they are, and their mask, shape (c, A)."""
        n_contexts, n_arms = self.shape[0], self.shape[1] * self.shape[2]
        for block in _blocks(n_contexts, n_arms):
            packed = self.bits[block.start * n_arms // 8 : -(-block.stop * n_arms // 8)]
            count = (block.stop - block.start) * n_arms
            yield block, np.unpackbits(packed, count=count).view(bool).reshape(-1, n_arms)

    def counts(self) -> IntArray:
        """Return how many arms each context has left, shape (C,)."""
        return np.concatenate([mask.sum(axis=1) for _, mask in self.blocks()])

    def anywhere(self) -> BoolArray:
        """Mark the arms that are left in any context, shape (P, N)."""
        union = np.zeros(self.shape[1] * self.shape[2], dtype=bool)
        for _, mask in self.blocks():
            union |= mask.any(axis=0)
        return union.reshape(self.shape[1:])


def _blocks(n_contexts: int, n_arms: int) -> list[slice]:
    size = 8 * max(_BLOCK // n_arms, 1)
    return [slice(start, min(start + size, n_contexts)) for start in range(0, n_contexts, size)]
