"""A plug-in that is a plain function `f(text, query) -> float`, as a scorer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import Rated
from iapo_core.task import Query


class PlainScorer(Rated):
    """Asks the function; what follows `text` and `query` in its signature are the objective's params."""

    def __init__(self, name: str, function: Callable[..., Any], params: Mapping[str, Any]) -> None:
        self._name, self._function, self._params = name, function, dict(params)

    def score(self, text: str, query: Query) -> float:
        """Return what the function returns.

        Raises:
            ScorerError: If the function raises or returns no finite number: made-up scores would decide what is picked.
        """
        try:
            value = float(self._function(text, query, **self._params))
        except Exception as error:
            raise ScorerError(
                f"The scorer {self._name!r} raised {type(error).__name__} ({error}) on a completion of query {query.id!r}; correct "
                "the plug-in, then resume."
            ) from error
        if not math.isfinite(value):
            raise ScorerError(
                f"The scorer {self._name!r} gave {value} for a completion of query {query.id!r}, which is no score; correct the plug-in."
            )
        return value
