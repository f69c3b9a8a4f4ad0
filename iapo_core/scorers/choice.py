"""Multiple choice: which of the given labels a completion names first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from iapo_core.errors import ScorerError
from iapo_core.task import Query


class Choice:
    """Votes for the first label that stands in the text as a word; plural endings count."""

    def __init__(self, choices: Sequence[str]) -> None:
        if isinstance(choices, str) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
            raise ScorerError(f"The scorer 'choice' needs `choices`, a list of at least two labels, not {choices!r}.")
        self._labels = {label.casefold(): label for label in choices}
        longest_first = sorted(self._labels, key=len, reverse=True)
        self._pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?:e?s)?(?!\w)", re.IGNORECASE)

    def extract(self, text: str, query: Query) -> str | None:
        """Return the first label named, None where none is."""
        match = self._pattern.search(text)
        return self._labels[match[1].casefold()] if match else None

    def score(self, text: str, query: Query) -> float:
        """Return 1 if the first label named is the gold answer, else 0."""
        found = self.extract(text, query)
        return float(found is not None and isinstance(query.gold, str) and found.casefold() == query.gold.casefold())
