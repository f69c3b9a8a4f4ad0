"""Scorers: judge one completion. Built-ins and plug-ins come in by the entry point `iapo.scorers`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast, runtime_checkable

from iapo_core.errors import ScorerError
from iapo_core.task import DecodingConfig, Objective, Query

GROUP = "iapo.scorers"


class Scorer(Protocol):
    """Judges one completion; made by a factory that takes the objective's `params` as keywords.

    A scorer never raises on a completion: whatever the model wrote has a score. It raises ScorerError at construction.
    """

    def score(self, text: str, query: Query) -> float:
        """Return the score within the objective's range."""
        ...

    def extract(self, text: str, query: Query) -> str | None:
        """Return the answer that the completion votes for, None where it votes for nothing."""
        ...


@runtime_checkable
class Judge(Protocol):
    """A scorer that asks a model: its calls are bought through the ledger, and its verdicts are read from the replies.

    It is a `Scorer` as well; its `score` is never asked, and it votes for nothing.
    """

    decoding: DecodingConfig

    def messages(self, text: str, query: Query) -> list[dict[str, str]]:
        """Return what the judge is asked about one completion; it never learns which candidate wrote it."""
        ...

    def read(self, reply: str) -> float | None:
        """Return the score that a reply gives, None where it gives none."""
        ...


@cache
def available() -> dict[str, EntryPoint]:
    """Return the installed scorers by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def make_scorer(objective: Objective) -> Scorer:
    """Build the scorer that an objective names.

    Raises:
        ScorerError: If it is not installed or refuses its parameters.
    """
    points = available()
    if objective.scorer not in points:
        raise ScorerError(
            f"Objective {objective.id!r} asks for the scorer {objective.scorer!r}, which is not installed; "
            f"installed are {', '.join(sorted(points))}."
        )
    factory = points[objective.scorer].load()
    try:
        return cast(Scorer, factory(**objective.params))
    except TypeError as error:
        raise ScorerError(f"Objective {objective.id!r}: the scorer {objective.scorer!r} refuses its params ({error}).") from error
