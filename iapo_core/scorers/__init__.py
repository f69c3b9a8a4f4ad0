"""Scorers: judge one completion. Built-ins and plug-ins come in by the entry point `iapo.scorers`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast, runtime_checkable

from iapo_core.errors import ScorerError
from iapo_core.scorers.parameters import RANGE, check_params, is_plain, parameters_of
from iapo_core.scorers.plain import PlainScorer
from iapo_core.task import DecodingConfig, Objective, Query

GROUP = "iapo.scorers"


class Scorer(Protocol):
    """Judges one completion; made by a factory that takes the objective's `params` as keywords.

    A scorer never raises on a completion: whatever the model wrote has a score. It raises ScorerError at construction. One that
    compares answers has a method `canonical(gold)` too, which spells a gold answer as votes are spelled.
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


def load_factory(name: str) -> Any:
    """Return the factory (or the plain function) that an entry point names.

    Raises:
        ScorerError: If there is none, or what it names cannot be imported.
    """
    points = available()
    if name not in points:
        raise ScorerError(f"the scorer {name!r} is not installed; installed are {', '.join(sorted(points))}.")
    try:
        return points[name].load()
    except (ImportError, AttributeError) as error:
        raise ScorerError(f"the scorer {name!r} cannot be imported ({error}); install what it needs.") from error


def make_scorer(objective: Objective) -> Scorer:
    """Build the scorer that an objective names.

    Raises:
        ScorerError: If it is not installed or refuses its parameters.
    """
    try:
        factory = load_factory(objective.scorer)
    except ScorerError as error:
        raise ScorerError(f"Objective {objective.id!r}: {error}") from error
    told = f"Objective {objective.id!r}: the scorer {objective.scorer!r} refuses its params: "
    try:
        check_params(objective.params, parameters_of(factory))
        if is_plain(factory):
            return PlainScorer(objective.scorer, factory, objective.params)
        ranged = {RANGE: objective.range} if RANGE in _keywords(factory) else {}
        return cast(Scorer, factory(**objective.params, **ranged))
    except ScorerError as error:
        raise ScorerError(f"{told}{error}") from error
    except (TypeError, ValueError) as error:
        raise ScorerError(f"{told}{error}.") from error


@cache
def _keywords(factory: Any) -> frozenset[str]:
    from inspect import signature

    return frozenset(signature(factory).parameters)
