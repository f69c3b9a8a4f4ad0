"""Preferences as they are typed on a command line."""

from __future__ import annotations

import argparse

from iapo_core.errors import ContextError
from iapo_core.task import Context


def asked_contexts(arguments: argparse.Namespace) -> list[Context]:
    """Return the contexts that the options name; none where the task's own are meant.

    Raises:
        ContextError: If one is not of the form that is asked for.
    """
    asked = [parse_context(text) for text in arguments.context]
    if arguments.weights is not None:
        asked.append(parse_context(f"asked:{arguments.weights},cost={arguments.cost_weight or 0.0}"))
    elif arguments.cost_weight is not None:
        raise ContextError("--cost-weight needs --weights beside it, such as --weights correct=1 --cost-weight 0.2.")
    return asked


def parse_context(text: str) -> Context:
    """Read `name:objective=weight,...,cost=weight`.

    Raises:
        ContextError: If it is not of that form.
    """
    name, _, rest = text.partition(":")
    try:
        pairs = [(key.strip(), float(value)) for key, _, value in (part.partition("=") for part in rest.split(","))]
        weights = dict(pairs)
        if len(weights) < len(pairs):
            raise ValueError("an objective stands twice")
        cost = weights.pop("cost", 0.0)
        return Context(id=name, weights=weights, cost_weight=cost)
    except ValueError as error:
        raise ContextError(
            f"The context {text!r} is not of the form name:objective=weight,...,cost=weight with each objective once and weights "
            "of at least 0, such as dear:correct=1,cost=0.5."
        ) from error
