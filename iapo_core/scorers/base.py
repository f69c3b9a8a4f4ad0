"""What scorers share: answers that are compared with the gold one, and texts that are rated without an answer."""

from __future__ import annotations

import re
from typing import ClassVar

from iapo_core.task import Query

MAX_CHARACTERS = 65_536  # of a completion that are read; more is no answer, and no scorer may take long
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?\n]+")
_BYTES_A_TOKEN = 4  # as where a provider counts none


class Compared:
    """Reads one answer out of a completion and compares it with the gold answer, both in one canonical spelling.

    Two completions whose answers mean the same must be read as the same text: they vote together.
    """

    is_voting: ClassVar[bool] = True
    needs_gold: bool = True

    def read(self, text: str) -> str | None:
        """Return the canonical answer that a completion gives, None where it gives none."""
        raise NotImplementedError

    def canonical(self, gold: str) -> str | None:
        """Return a gold answer as a completion that gives it is read; None where it can be nobody's answer."""
        return self.read(gold)

    def extract(self, text: str, query: Query) -> str | None:
        """Return the canonical answer, which is the vote."""
        return self.read(text)

    def score(self, text: str, query: Query) -> float:
        """Return 1 if the answer is the gold one, or one of several, else 0."""
        answer = self.read(text)
        return float(answer is not None and any(answer == self.canonical(gold) for gold in golds(query)))


class Rated:
    """Judges the text itself; there is no answer to vote for."""

    is_voting: ClassVar[bool] = False
    needs_gold: bool = False

    def extract(self, text: str, query: Query) -> str | None:
        """Return None: such scores are not voted on."""
        return None


def golds(query: Query) -> tuple[str, ...]:
    """Return the query's gold answers; none, one or several."""
    return (query.gold,) if isinstance(query.gold, str) else query.gold or ()


def linear(value: float, zero_at: float, one_at: float) -> float:
    """Return 0 at one limit, 1 at the other, linear between them and constant beyond; either may be the larger."""
    return min(max((value - zero_at) / (one_at - zero_at), 0.0), 1.0)


def about_tokens(text: str) -> int:
    """Return about how many tokens a text has: four bytes each, because every model counts its own way."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN)
