"""The rows of a recording: which completion belongs to which cell, and what each cost in dollars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.errors import RecordingError
from iapo_core.task import Task


def recorded_cells(task: Task, completions: dict[str, Sequence[Any]], source: str) -> IntArray:
    """Return the row of each (candidate, query, sample), shape (P, X, S); S is what every pair has."""
    pairs = {(p.id, d.id): i for i, (p, d) in enumerate(task.candidates)}
    off = {(one.prompt, one.decoding) for one in task.excluded}
    queries = {q.id: i for i, q in enumerate(task.queries)}
    cells: dict[tuple[int, int], dict[int, int]] = {}
    keys = zip(completions["prompt"], completions["decoding"], completions["query"], completions["sample"], strict=True)
    for row, (prompt, decoding, query, sample) in enumerate(keys):
        if (prompt, decoding) in off and query in queries:
            continue
        if (prompt, decoding) not in pairs or query not in queries:
            raise RecordingError(
                f"{source}: row {row + 1} is for prompt {prompt!r}, decoding {decoding!r}, query {query!r}, "
                "which the task does not have; record the task as it is now."
            )
        stored = cells.setdefault((pairs[prompt, decoding], queries[query]), {})
        if sample in stored:
            raise RecordingError(
                f"{source}: rows {stored[sample] + 1} and {row + 1} are both sample {sample} of {prompt!r} on {query!r}; "
                "keep one."
            )
        stored[sample] = row
    n_stored = min((len(cells.get((p, q), {})) for p in range(len(pairs)) for q in range(len(queries))), default=0)
    if n_stored < task.n_max:
        short = next((p, q) for p in range(len(pairs)) for q in range(len(queries)) if len(cells.get((p, q), {})) == n_stored)
        raise RecordingError(
            f"{source}: {task.candidates[short[0]][0].id!r} on {task.queries[short[1]].id!r} has {n_stored} "
            f"completions, fewer than N_max {task.n_max}; record more or lower n_max."
        )
    rows = [[[row for _, row in sorted(cells[p, q].items())[:n_stored]] for q in range(len(queries))] for p in range(len(pairs))]
    return np.array(rows, dtype=int)


def recorded_usd(
    task: Task, completions: dict[str, Sequence[Any]], prompt_tokens: FloatArray, completion_tokens: FloatArray
) -> FloatArray:
    """Return the dollars of every row by the prices in the task; nothing where cost counts no dollars, shape (rows,)."""
    if task.cost.per_usd == 0:
        return np.zeros(len(prompt_tokens))
    if unknown := [d.id for d in task.decoding if d.usd_per_million_prompt is None]:
        raise RecordingError(
            f"Task {task.id!r} counts cost in dollars, and decoding {unknown[0]!r} has no price; give both of its parts."
        )
    prices = {d.id: (d.usd_per_million_prompt or 0.0, d.usd_per_million_completion or 0.0) for d in task.decoding}
    per_token = np.array([prices.get(name, (0.0, 0.0)) for name in completions["decoding"]]) / 1e6  # (rows, 2)
    usd: FloatArray = per_token[:, 0] * prompt_tokens + per_token[:, 1] * completion_tokens
    return usd
