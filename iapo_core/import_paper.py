"""Convert the environments that the paper's authors released to count tables.

Their files are pickles; `inert_pickle` reads them without running anything. Only the command line offers this, never an upload.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iapo_core.arms import FloatArray
from iapo_core.errors import PickleError
from iapo_core.inert_pickle import RawArray, Record, read_pickle

MAX_NUMBERS = 200_000_000


def read_environments(path: Path) -> list[dict[str, Any]]:
    """Return the attributes of every environment in the file.

    Raises:
        PickleError: If the file cannot be read safely, or holds no environment.
    """
    content = read_pickle(path)
    items = (
        content if isinstance(content, list | tuple) else list(content.values()) if _is_dict_of_records(content) else [content]
    )
    found = [item.fields if isinstance(item, Record) else item for item in items]
    environments = [item for item in found if isinstance(item, dict) and ({"cat_probs", "outcome_probs_train"} & set(item))]
    if not environments:
        raise PickleError(f"{path}: holds no environment with cat_probs or outcome_probs_train; it is not a file of the paper's.")
    return environments


def import_paper(source: Path, destination: Path, *, index: int | None = None) -> str:
    """Convert one environment to a count table and say what it holds.

    Args:
        source: The authors' pickle.
        destination: The `.npz` to write; its `heldout` marks their test queries.
        index: Which environment, where the file holds several.

    Raises:
        PickleError: If the file cannot be read, holds several and no index is given, or lacks an attribute.
    """
    environments = read_environments(source)
    if index is None and len(environments) > 1:
        raise PickleError(
            f"{source}: holds {len(environments)} environments; choose one with --index 0 to {len(environments) - 1}."
        )
    chosen = index or 0
    if not 0 <= chosen < len(environments):
        raise PickleError(f"{source}: has no environment {chosen}; it holds {len(environments)}, counted from 0.")
    fields = environments[chosen]
    if destination.suffix != ".npz":
        raise PickleError(f"{destination}: name a file that ends with .npz.")
    arrays = _votes(fields) if "cat_probs" in fields else _outcomes(fields)
    try:
        np.savez_compressed(destination, **arrays)
    except OSError as error:
        raise PickleError(f"{destination}: cannot be written ({error.strerror}).") from error
    n_prompts, n_queries, n_answers = arrays["counts"].shape
    what = "answers" if "answers" in arrays else "outcomes"
    return (
        f"{destination}: {n_prompts} prompts, {n_queries} queries ({int(arrays['heldout'].sum())} held out), {n_answers} {what} each, "
        f"{len(arrays['cost_weights'])} contexts, N_max {int(arrays['n_max'])}."
    )


def _is_dict_of_records(content: Any) -> bool:
    return isinstance(content, dict) and bool(content) and all(isinstance(value, Record) for value in content.values())


def _votes(fields: dict[str, Any]) -> dict[str, Any]:
    train, test = _array(fields, "cat_probs", 3), _array(fields, "cat_probs_te", 3)
    answers = [_array(fields, name, 1) for name in ("answers", "answers_te")]
    parts = [_prompts_first(probs, len(gold), "cat_probs") for probs, gold in zip((train, test), answers, strict=True)]
    width = max(part.shape[2] for part in parts)
    counts = np.concatenate([np.pad(part, ((0, 0), (0, 0), (0, width - part.shape[2]))) for part in parts], axis=1)
    return {
        "counts": counts,
        "answers": np.concatenate(answers).astype(int),
        "cost_weights": _array(fields, "cost_coeffs", 1),
        **_common(fields, len(counts), [len(gold) for gold in answers]),
    }


def _outcomes(fields: dict[str, Any]) -> dict[str, Any]:
    parts = []
    for split in (("train",), ("test", "te")):
        probs = _array(fields, _present(fields, [f"outcome_probs_{s}" for s in split]), 3)
        vectors = _array(fields, _present(fields, [f"outcome_vectors_{s}" for s in split]), 4)
        if vectors.shape[:3] != probs.shape:
            raise PickleError(f"outcome vectors of shape {vectors.shape} do not fit probabilities of shape {probs.shape}.")
        parts.append((probs, vectors))
    outcomes = np.concatenate([vectors for _, vectors in parts], axis=1)
    weights, cost_weights = _contexts(fields, outcomes.shape[3])
    return {
        "counts": np.concatenate([probs for probs, _ in parts], axis=1),
        "outcomes": outcomes,
        "weights": weights,
        "cost_weights": cost_weights,
        **_common(fields, len(outcomes), [probs.shape[1] for probs, _ in parts]),
    }


def _contexts(fields: dict[str, Any], n_objectives: int) -> tuple[FloatArray, FloatArray]:
    """Read the weights: rows of K, or of K and the cost weight, or K crossed with the cost coefficients."""
    raw = fields.get("_contexts", fields.get("contexts"))
    rows = [list(row.fields.values()) if isinstance(row, Record) else row for row in _listed(raw)]
    rows = [list(row.values()) if isinstance(row, dict) else row for row in rows]
    contexts = _array({"_contexts": rows}, "_contexts", 2)
    if contexts.shape[1] == n_objectives + 1:
        return contexts[:, :-1], np.abs(contexts[:, -1])
    if contexts.shape[1] != n_objectives:
        raise PickleError(f"_contexts has {contexts.shape[1]} weights a row, but there are {n_objectives} objectives.")
    costs = _array(fields, "cost_coeffs", 1) if "cost_coeffs" in fields else np.zeros(1)
    if len(costs) == len(contexts):
        return contexts, costs
    return np.repeat(contexts, len(costs), axis=0), np.tile(costs, len(contexts))


def _common(fields: dict[str, Any], n_prompts: int, n_queries: Sequence[int]) -> dict[str, Any]:
    cost = _array(fields, "cost_per_prompt", 1)
    if len(cost) != n_prompts:
        raise PickleError(f"cost_per_prompt has {len(cost)} entries for {n_prompts} prompts.")
    n_max = fields.get("N_max")
    if not isinstance(n_max, int | np.integer) or n_max < 1:
        raise PickleError(f"N_max is {n_max!r}; it must be a whole number of at least 1.")
    heldout = np.repeat([False, True], n_queries)
    return {"cost_per_prompt": cost, "n_max": np.array(int(n_max)), "heldout": heldout}


def _prompts_first(probs: FloatArray, n_queries: int, name: str) -> FloatArray:
    if probs.shape[1] == n_queries:
        return probs
    if probs.shape[0] == n_queries:
        return probs.transpose(1, 0, 2)
    raise PickleError(f"{name} has shape {probs.shape}, which does not fit {n_queries} answers.")


def _present(fields: dict[str, Any], names: Sequence[str]) -> str:
    return next((name for name in names if name in fields), names[0])


def _array(fields: dict[str, Any], name: str, ndim: int) -> FloatArray:
    """Return an attribute as an array of numbers; lists of unequal length are filled up with 0."""
    if name not in fields:
        raise PickleError(f"The environment has no {name}; it has {', '.join(sorted(fields)[:20])}.")
    if _n_numbers(fields[name], ndim, {}) > MAX_NUMBERS:
        raise PickleError(f"{name} holds more than {MAX_NUMBERS:,} numbers; that is no environment of the paper.")
    value = _plain(fields[name], ndim)
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = _filled(value, ndim, name)
    if array.ndim != ndim or not np.isfinite(array).all():
        raise PickleError(f"{name} must be finite numbers in {ndim} dimensions, not shape {array.shape}.")
    return array


def _listed(value: Any) -> list[Any]:
    if isinstance(value, RawArray):
        value = value.value
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, np.ndarray | list | tuple | deque):
        return list(value)
    raise PickleError(f"A list was expected, not {type(value).__name__}.")


def _plain(value: Any, depth: int) -> Any:
    """Replace arrays under construction by what they hold, down to the depth that is read."""
    if isinstance(value, RawArray):
        value = value.value
    if depth > 0 and isinstance(value, list | tuple | dict | deque):
        return [_plain(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value)]
    return value


def _n_numbers(value: Any, depth: int, seen: dict[tuple[int, int], int]) -> int:
    """Count what `_plain` would copy, without copying: parts that are shared count as often as they are met."""
    if isinstance(value, RawArray):
        value = value.value
    if isinstance(value, np.ndarray):
        return int(value.size)
    if depth == 0 or not isinstance(value, list | tuple | dict | deque):
        return 1
    key = (id(value), depth)
    if key not in seen:
        items = value.values() if isinstance(value, dict) else value
        seen[key] = sum(_n_numbers(item, depth - 1, seen) for item in items)
    return seen[key]


def _filled(value: Any, ndim: int, name: str) -> FloatArray:
    if ndim != 3 or not isinstance(value, list):
        raise PickleError(f"{name} is not an array of numbers in {ndim} dimensions.")
    try:
        rows = [[np.asarray(cell, dtype=float).ravel() for cell in row] for row in value]
    except (TypeError, ValueError) as error:
        raise PickleError(f"{name} is not an array of numbers ({error}).") from error
    width = max((len(cell) for row in rows for cell in row), default=0)
    if len({len(row) for row in rows}) != 1:
        raise PickleError(f"{name} has rows of unequal length.")
    return np.array([[np.pad(cell, (0, width - len(cell))) for cell in row] for row in rows])
