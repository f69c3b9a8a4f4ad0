"""Multiple choice: which of the given labels a completion names first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, Compared


class Choice(Compared):
    """Multiple choice: votes for the first label that stands in the text as a word; plural endings count."""

    def __init__(self, choices: Annotated[Sequence[str], "The labels to choose from, at least two."]) -> None:
        if isinstance(choices, str) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
            raise ScorerError(f"The scorer 'choice' needs `choices`, a list of at least two labels, not {choices!r}.")
        self._labels = {label.casefold(): label for label in choices}
        longest_first = sorted(self._labels, key=len, reverse=True)
        self._pattern = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?:e?s)?(?!\w)", re.IGNORECASE)

    def read(self, text: str) -> str | None:
        """Return the first label named, None where none is."""
        match = self._pattern.search(text[:MAX_CHARACTERS])
        return self._labels.get(match[1].casefold()) if match else None

    def canonical(self, gold: str) -> str | None:
        """Return the label that the gold answer is, None where it is none of them."""
        return self._labels.get(gold.strip().casefold())
