"""Scores read off the words of a completion: exact answer, key words, simple language."""

from __future__ import annotations

import re

from iapo_core.errors import ScorerError
from iapo_core.task import Query

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?\n]+")


class Exact:
    """The whole completion is the answer, compared without case and surrounding space."""

    def extract(self, text: str, query: Query) -> str | None:
        """Return the normalised completion, None where it is blank."""
        return " ".join(text.split()).casefold() or None

    def score(self, text: str, query: Query) -> float:
        """Return 1 if the completion equals the gold answer (or one of several), else 0."""
        golds = (query.gold,) if isinstance(query.gold, str) else query.gold or ()
        answer = self.extract(text, query)
        return float(any(answer == " ".join(gold.split()).casefold() for gold in golds))


class Keywords:
    """Share of the query's key words (its gold list) that the completion uses, in any inflection that begins with them."""

    def extract(self, text: str, query: Query) -> str | None:
        """Return None: key words are not voted on."""
        return None

    def score(self, text: str, query: Query) -> float:
        """Return the share of key words found, in [0, 1]."""
        golds = (query.gold,) if isinstance(query.gold, str) else query.gold or ()
        if not golds:
            return 0.0
        words = [w.casefold() for w in _WORD.findall(text)]
        return sum(any(w.startswith(gold.casefold()) for w in words) for gold in golds) / len(golds)


class Simplicity:
    """Short words in short sentences, linear in both: the mean of a word score and a sentence score.

    A mean of `easy_letters` letters a word (or `easy_words` words a sentence) scores 1, `hard_...` scores 0. Fewer than
    `min_words` words score 0, so that saying nothing is not simple.
    """

    def __init__(
        self,
        easy_letters: float = 3.5,
        hard_letters: float = 6.0,
        easy_words: float = 6.0,
        hard_words: float = 26.0,
        min_words: int = 6,
    ) -> None:
        if not (0 < easy_letters < hard_letters and 0 < easy_words < hard_words and min_words >= 1):
            raise ScorerError("The scorer 'simplicity' needs easy limits below hard ones and min_words of at least 1.")
        self._letters = (easy_letters, hard_letters)
        self._words = (easy_words, hard_words)
        self._min_words = min_words

    def extract(self, text: str, query: Query) -> str | None:
        """Return None: simplicity is not voted on."""
        return None

    def score(self, text: str, query: Query) -> float:
        """Return the simplicity in [0, 1]."""
        words = _WORD.findall(text)
        if len(words) < self._min_words:
            return 0.0
        n_sentences = sum(bool(_WORD.search(part)) for part in _SENTENCE_END.split(text))
        letters = sum(map(len, words)) / len(words)
        return 0.5 * (_falling(letters, *self._letters) + _falling(len(words) / n_sentences, *self._words))


def _falling(value: float, easy: float, hard: float) -> float:
    return min(max((hard - value) / (hard - easy), 0.0), 1.0)
