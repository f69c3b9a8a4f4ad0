"""Grids that spare people typing: preferences evenly spread over the weights, and decoding configs of several models."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

from iapo_core.errors import ContextError, TaskError

MAX_CONTEXTS = 2_000
MAX_CONFIGS = 200


def n_mixes(n_objectives: int, steps: int) -> int:
    """Return how many mixes `weight_grid` makes before costs: steps - 1 choose n_objectives - 1."""
    return math.comb(steps - 1, n_objectives - 1)


def weight_grid(objectives: Sequence[str], steps: int, cost_weights: Sequence[float]) -> list[dict[str, Any]]:
    """Return contexts in the form of a task file: every mix of weights in multiples of 1 / steps, each above 0, with each cost.

    Raises:
        ContextError: If that makes none, or more than a task may have.
    """
    n_contexts = n_mixes(len(objectives), steps) * len(cost_weights)
    if not 1 <= n_contexts <= MAX_CONTEXTS:
        raise ContextError(
            f"{steps} steps with {len(objectives)} objectives and {len(cost_weights)} cost weights make {n_contexts:,} contexts; "
            f"a task has 1 to {MAX_CONTEXTS:,}. Change the steps or the costs."
        )
    contexts = []
    # A mix is a way to cut `steps` units into one part per objective: choose where the cuts are.
    for row, cuts in enumerate(combinations(range(1, steps), len(objectives) - 1), start=1):
        ends = (0, *cuts, steps)
        weights = {o: round((ends[k + 1] - ends[k]) / steps, 6) for k, o in enumerate(objectives)}
        said = ", ".join(f"{o} {w:g}" for o, w in weights.items()) if len(objectives) > 1 else objectives[0]
        contexts += [
            {"id": f"mix-{row}/cost-{cost:g}", "title": f"{said}, cost {cost:g}", "weights": weights, "cost_weight": float(cost)}
            for cost in cost_weights
        ]
    return contexts


def config_grid(
    models: Sequence[str], temperatures: Sequence[float], limits: Sequence[float], taken: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return decoding configs in the form of a task file: each model with each temperature and each limit in tokens.

    Args:
        models: In LiteLLM's spelling.
        temperatures: Each at least 0.
        limits: Longest answers in tokens.
        taken: Ids that are in use.

    Raises:
        TaskError: If that makes none, or more than anybody can look at.
    """
    if any(limit < 1 or limit != int(limit) for limit in limits):
        raise TaskError("The longest answer is a whole number of tokens, 1 at least; correct it.")
    n_configs = len(models) * len(temperatures) * len(limits)
    if not 1 <= n_configs <= MAX_CONFIGS:
        raise TaskError(
            f"{len(models)} models, {len(temperatures)} temperatures and {len(limits)} limits make {n_configs:,} configs; "
            f"1 to {MAX_CONFIGS} can be made at once. Name at least one of each, and not too many."
        )
    used = set(taken)
    configs = []
    for model, temperature, limit in product(models, temperatures, limits):
        parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", model.rpartition("/")[2]).strip("-._")[:80] or "model"]
        parts += [f"t{temperature:g}"] * (len(temperatures) > 1) + [f"{limit:g}"] * (len(limits) > 1)
        name = free_name("-".join(parts), used)
        used.add(name)
        configs.append({"id": name, "model": model, "temperature": float(temperature), "top_p": 1.0, "max_tokens": int(limit)})
    return configs


def numbers(texts: Sequence[str], what: str) -> list[float]:
    """Return numbers that were typed, each once.

    Args:
        texts: As typed.
        what: What they are, for the refusal.

    Raises:
        TaskError: If one is no number of at least 0.
    """
    found: dict[float, None] = {}
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise TaskError(f"{text!r} is no {what}; write a number of at least 0, such as 0.5.")
        found[value] = None
    return list(found)


def free_name(wanted: str, taken: set[str]) -> str:
    """Return the name, with a number where it is taken."""
    if wanted not in taken:
        return wanted
    stem = wanted[:112]
    return next(name for name in (f"{stem}-{count}" for count in range(2, len(taken) + 3)) if name not in taken)
