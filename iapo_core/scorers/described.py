"""The installed scorers, described: what forms, lists and checks read."""

from __future__ import annotations

import inspect

from iapo_core.errors import ScorerError
from iapo_core.scorers import available, load_factory
from iapo_core.scorers.parameters import Described, is_plain, parameters_of


def describe(name: str) -> Described:
    """Describe an installed scorer.

    Raises:
        ScorerError: If it is not installed or cannot be imported.
    """
    factory = load_factory(name)
    distribution = available()[name].dist
    paragraph = (inspect.getdoc(factory) or "").split("\n\n")[0]
    has_own_votes = not is_plain(factory) and hasattr(factory, "extract")
    return Described(
        name=name,
        description=" ".join(paragraph.split()) or "Its maker gives no description.",
        parameters=parameters_of(factory),
        is_voting=bool(getattr(factory, "is_voting", has_own_votes)),
        is_judge=hasattr(factory, "messages") and hasattr(factory, "read"),
        needs_gold=bool(getattr(factory, "needs_gold", False)),
        package="" if distribution is None else f"{distribution.name} {distribution.version}",
    )


def described() -> tuple[list[Described], dict[str, str]]:
    """Describe all installed scorers by name; those that cannot be used come with the reason instead."""
    found, broken = [], {}
    for name in sorted(available()):
        try:
            found.append(describe(name))
        except ScorerError as error:
            broken[name] = str(error)
    return found, broken
