"""Scores read off the words of a completion: exact answer, key words, simple language."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, SENTENCE_END, WORD, Compared, Rated, golds, linear
from iapo_core.task import Query

_ARTICLE = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


class Exact(Compared):
    """The whole completion is the answer; what is overlooked in comparing it is chosen. Votes never tell case apart."""

    def __init__(
        self,
        ignore_case: Annotated[bool, "Yes and yes are the same."] = True,
        ignore_space: Annotated[bool, "Spaces and line breaks around and between words do not count."] = True,
        ignore_punctuation: Annotated[bool, "B. and (B) are the same as B."] = False,
        ignore_articles: Annotated[bool, "The English words a, an and the do not count."] = False,
    ) -> None:
        self._case, self._space = ignore_case, ignore_space
        self._punctuation, self._articles = ignore_punctuation, ignore_articles

    def read(self, text: str) -> str | None:
        """Return the completion without what is overlooked, None where nothing is left."""
        text = text[:MAX_CHARACTERS]
        if self._case:
            text = text.casefold()
        if self._punctuation:
            text = "".join(c for c in text if not unicodedata.category(c).startswith("P"))
        if self._articles:
            text = _ARTICLE.sub(" ", text)
        return (" ".join(text.split()) if self._space else text) or None


class Normalised(Exact):
    """The whole completion is the answer, compared without case, spaces, punctuation and articles."""

    def __init__(
        self,
        ignore_punctuation: Annotated[bool, "B. and (B) are the same as B."] = True,
        ignore_articles: Annotated[bool, "The English words a, an and the do not count."] = True,
    ) -> None:
        super().__init__(ignore_punctuation=ignore_punctuation, ignore_articles=ignore_articles)


class Keywords(Rated):
    """Share of the query's key words (its gold list) that the completion uses, in any inflection that begins with them."""

    needs_gold = True

    def score(self, text: str, query: Query) -> float:
        """Return the share of key words found, in [0, 1]."""
        wanted = golds(query)
        if not wanted:
            return 0.0
        words = [w.casefold() for w in WORD.findall(text[:MAX_CHARACTERS])]
        return sum(any(w.startswith(gold.casefold()) for w in words) for gold in wanted) / len(wanted)


class Simplicity(Rated):
    """Short words in short sentences, linear in both: the mean of a word score and a sentence score.

    A mean of `easy_letters` letters a word (or `easy_words` words a sentence) scores 1, `hard_...` scores 0. Fewer than
    `min_words` words score 0, so that saying nothing is not simple.
    """

    def __init__(
        self,
        easy_letters: Annotated[float, "Letters a word, on average, up to which words are easy."] = 3.5,
        hard_letters: Annotated[float, "Letters a word from which words are hard."] = 6.0,
        easy_words: Annotated[float, "Words a sentence up to which sentences are easy."] = 6.0,
        hard_words: Annotated[float, "Words a sentence from which sentences are hard."] = 26.0,
        min_words: Annotated[int, "Shorter texts score 0."] = 6,
    ) -> None:
        if not (0 < easy_letters < hard_letters and 0 < easy_words < hard_words and min_words >= 1):
            raise ScorerError("The scorer 'simplicity' needs easy limits below hard ones and min_words of at least 1.")
        self._letters = (hard_letters, easy_letters)  # where the score is 0 and where it is 1
        self._words = (hard_words, easy_words)
        self._min_words = min_words

    def score(self, text: str, query: Query) -> float:
        """Return the simplicity in [0, 1]."""
        words = WORD.findall(text[:MAX_CHARACTERS])
        if len(words) < self._min_words:
            return 0.0
        n_sentences = sum(bool(WORD.search(part)) for part in SENTENCE_END.split(text[:MAX_CHARACTERS]))
        letters = sum(map(len, words)) / len(words)
        return 0.5 * (linear(letters, *self._letters) + linear(len(words) / n_sentences, *self._words))
