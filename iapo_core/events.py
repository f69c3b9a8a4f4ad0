"""Frozen records that an algorithm yields, in order, and their JSON form."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iapo_core.arms import BoolArray, FloatArray, IntArray, Survivors
from iapo_core.errors import StoreError
from iapo_core.policy import Policy


@dataclass(frozen=True, eq=False)
class Planned:
    """What a round will buy, known before anything is bought.

    Attributes:
        round: 1-based; screening rounds come first and are counted.
        n_rounds: How many rounds the run has in all.
        purpose: "screen", "trim" or "spend".
        sizes: Completions per pull (the most, where a baseline varies them), 0 where a candidate is not pulled, shape (P,).
        repeats: Pulls (queries) per candidate, shape (P,).
        n_completions: What the round costs; sizes x repeats where sizes do not vary.
        note: What a reader should know, in words; empty if nothing.
    """

    round: int
    n_rounds: int
    purpose: str
    sizes: IntArray
    repeats: IntArray
    n_completions: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class Pulled:
    """What the round drew.

    Attributes:
        round: As planned.
        n_completions: Drawn in this round.
        spent: Drawn in the run so far; never above its budget.
        n_reused: Of this round's, how many were in the store already.
        n_failed: Of this round's, how many carry an error.
        mean_costs: Mean cost per completion and candidate so far, nan where unsampled, shape (P,).
    """

    round: int
    n_completions: int
    spent: int
    n_reused: int
    n_failed: int
    mean_costs: FloatArray


@dataclass(frozen=True, eq=False)
class Estimated:
    """Estimates from all rounds so far. Q[c, p, k] = reward[which[c], p, k] - cost_weight[c] * k * cost[p].

    Attributes:
        round: As planned.
        reward: Mean reward before cost, nan where unsampled, shape (W, P, N), float32.
        half_width: Half of its 95 % interval, clustered by query, nan below two queries, shape (W, P, N), float32.
        n_queries: Distinct training queries behind each estimate, shape (P, N).
        mean_costs: Cost per completion, shape (P,).
    """

    round: int
    reward: FloatArray
    half_width: FloatArray
    n_queries: IntArray
    mean_costs: FloatArray


@dataclass(frozen=True, eq=False, init=False)
class Trimmed:
    """What is left after the round.

    Attributes:
        round: As planned.
        survivors: Surviving arms per context, packed.
        cut: Lowest Q that stayed, per context, nan where nothing was cut, shape (C,).
    """

    round: int
    survivors: Survivors
    cut: FloatArray

    def __init__(self, round: int, alive: BoolArray | Survivors, cut: FloatArray) -> None:
        object.__setattr__(self, "round", round)
        object.__setattr__(self, "survivors", alive if isinstance(alive, Survivors) else Survivors.of(alive))
        object.__setattr__(self, "cut", cut)

    @property
    def alive(self) -> BoolArray:
        """Surviving arms per context, unpacked anew at each call, shape (C, P, N)."""
        return self.survivors.mask()


@dataclass(frozen=True, eq=False)
class Finished:
    """The end: the policy, and what it took."""

    spent: int
    policy: Policy


Event = Planned | Pulled | Estimated | Trimmed | Finished
_KINDS: dict[str, type] = {kind.__name__.lower(): kind for kind in (Planned, Pulled, Estimated, Trimmed, Finished)}


def to_json(event: Event) -> str:
    """Return one event as JSON; arrays keep dtype, shape and every bit."""
    data: dict[str, Any] = {"kind": type(event).__name__.lower()}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Survivors):
            data["alive"] = {"dtype": "bool", "shape": value.shape, "b64": base64.b64encode(value.bits.tobytes()).decode()}
            continue
        if isinstance(value, np.ndarray):
            value = _pack(value)
        elif isinstance(value, Policy):
            value = value.model_dump(mode="json")
        data[field.name] = value
    return json.dumps(data, separators=(",", ":"))


def from_json(text: str) -> Event:
    """Read an event that `to_json` wrote.

    Raises:
        StoreError: If the text is no event.
    """
    try:
        data = json.loads(text)
        kind = _KINDS[data.pop("kind")]
        for name, value in data.items():
            if isinstance(value, dict) and "b64" in value:
                data[name] = _packed_arms(value) if name == "alive" else _unpack(value)
            elif name == "policy":
                data[name] = Policy.model_validate(value)
        event: Event = kind(**data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"A stored event cannot be read ({error}); the database was changed by other software.") from error
    return event


def _packed_arms(value: dict[str, Any]) -> Survivors:
    n_contexts, n_candidates, n_max = value["shape"]
    bits = np.frombuffer(base64.b64decode(value["b64"]), np.uint8)
    if len(bits) != -(-n_contexts * n_candidates * n_max // 8):
        raise ValueError(f"{len(bits)} bytes do not mark {n_contexts} x {n_candidates} x {n_max} arms")
    return Survivors((n_contexts, n_candidates, n_max), bits)


def _pack(array: NDArray[Any]) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "shape": array.shape, "b64": base64.b64encode(array.tobytes()).decode()}


def _unpack(value: dict[str, Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(value["b64"]), np.dtype(value["dtype"])).reshape(tuple(value["shape"])).copy()
