"""Phrases that a completion must use, or must not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, Rated, golds
from iapo_core.task import Query

# Rotated by thirteen letters: a list of what must not be said should not say it either.
_COARSE = tuple(
    codecs.decode(
        "nefr neffubyr onfgneq ovgpu obyybpxf ohyyfuvg pbpxfhpxre phag qnza qvpxurnq qbhpur snttbg shpx zbgureshpxre "
        "avttre cvff cevpx fuvg fyhg gjng jnaxre juber",
        "rot13",
    ).split()
)
_LEET = str.maketrans("013457@$!", "oieastasi")
_ENDINGS = r"(?:s|es|ed|er|ers|ing|y|ty|ting)?"


class Contains(Rated):
    """The completion contains the given phrases, or the query's gold ones where none are given."""

    def __init__(
        self,
        phrases: Annotated[Sequence[str], "What to look for; the query's gold answer or key words where left empty."] = (),
        wanted: Annotated[Literal["all", "any"], "all: the share that is there; any: 1 as soon as one is."] = "all",
        ignore_case: Annotated[bool, "Yes and yes are the same."] = True,
        whole_words: Annotated[bool, "cat is not in category."] = False,
    ) -> None:
        self._phrases, self._wanted, self._case, self._whole = tuple(phrases), wanted, ignore_case, whole_words
        self.needs_gold = not phrases

    def score(self, text: str, query: Query) -> float:
        """Return the share of the phrases that the text contains, or whether it contains any; 0 where there are none."""
        phrases = self._phrases or golds(query)
        found = sum(self._has(text[:MAX_CHARACTERS], phrase) for phrase in phrases)
        return float(found > 0) if self._wanted == "any" else found / max(len(phrases), 1)

    def _has(self, text: str, phrase: str) -> bool:
        if self._case:
            text, phrase = text.casefold(), phrase.casefold()
        if not self._whole:
            return phrase in text
        return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


class Lacks(Rated):
    """The completion contains none of the given phrases."""

    def __init__(
        self,
        phrases: Annotated[Sequence[str], "What must not be said, at least one phrase."],
        ignore_case: Annotated[bool, "Yes and yes are the same."] = True,
        whole_words: Annotated[bool, "cat is not in category."] = False,
    ) -> None:
        if not phrases:
            raise ScorerError("`phrases` is empty; give at least one phrase that must not be said.")
        self._inner = Contains(phrases, "any", ignore_case, whole_words)

    def score(self, text: str, query: Query) -> float:
        """Return 1 if none is there, else 0."""
        return 1.0 - self._inner.score(text, query)


class ProfanityFree(Rated):
    """The completion uses no coarse English word, disguised by digits or not; a short list, which can be changed."""

    def __init__(
        self,
        also: Annotated[Sequence[str], "More words that count as coarse."] = (),
        allowed: Annotated[Sequence[str], "Words of the list that do not count."] = (),
    ) -> None:
        excused = {word.casefold() for word in allowed}
        words = [word.casefold() for word in (*_COARSE, *also) if word.casefold() not in excused]
        if not words:
            raise ScorerError("`allowed` leaves no word that counts; remove one of them.")
        self._pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, words))}){_ENDINGS}(?![^\W_])")

    def score(self, text: str, query: Query) -> float:
        """Return 1 if no such word is there, else 0."""
        plain = text[:MAX_CHARACTERS].casefold()
        return float(not (self._pattern.search(plain) or self._pattern.search(plain.translate(_LEET))))
