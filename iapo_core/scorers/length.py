"""How long a completion is, and how hard it is to read: plain counts, linear between two limits."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, SENTENCE_END, WORD, Rated, about_tokens, linear
from iapo_core.task import Query

Unit = Literal["words", "characters", "tokens"]
_UNIT = "What is counted; a token is taken as four bytes."
_SYLLABLE = re.compile(r"[aeiouyäöüáéíóúàèìòùâêîôû]+")


class Length(Rated):
    """The length of the completion, linear between a length that scores 0 and one that scores 1, whichever is larger."""

    def __init__(
        self,
        unit: Annotated[Unit, _UNIT] = "words",
        zero_at: Annotated[float, "Length that scores 0."] = 0.0,
        one_at: Annotated[float, "Length that scores 1; below the other limit, shorter is better."] = 100.0,
    ) -> None:
        if zero_at < 0 or one_at < 0 or zero_at == one_at:
            raise ScorerError(f"`zero_at` and `one_at` are two different lengths of at least 0, not {zero_at:g} and {one_at:g}.")
        self._unit, self._limits = unit, (zero_at, one_at)

    def score(self, text: str, query: Query) -> float:
        """Return where the length lies between the limits, in [0, 1]."""
        return linear(measured(text, self._unit), *self._limits)


class Brevity(Length):
    """The shorter the better: 1 up to a length, 0 from another on, linear between them; saying nothing scores 0."""

    def __init__(
        self,
        unit: Annotated[Unit, _UNIT] = "words",
        one_at: Annotated[float, "Length up to which the score is 1."] = 20.0,
        zero_at: Annotated[float, "Length from which the score is 0."] = 100.0,
    ) -> None:
        if not one_at < zero_at:
            raise ScorerError(f"`one_at` must lie below `zero_at`, not {one_at:g} and {zero_at:g}: shorter is better.")
        super().__init__(unit, zero_at, one_at)

    def score(self, text: str, query: Query) -> float:
        """Return the brevity in [0, 1]."""
        return super().score(text, query) if text.strip() else 0.0


class Readability(Rated):
    """Ease of reading English by Flesch's formula: few syllables a word and few words a sentence."""

    def __init__(
        self,
        zero_at: Annotated[float, "Reading ease that scores 0; 30 is an academic paper."] = 30.0,
        one_at: Annotated[float, "Reading ease that scores 1; 90 is a children's book."] = 90.0,
        min_words: Annotated[int, "Shorter texts score 0."] = 6,
    ) -> None:
        if not (zero_at < one_at and min_words >= 1):
            raise ScorerError(
                f"`zero_at` must lie below `one_at` and `min_words` be at least 1, not {zero_at:g}, {one_at:g} and {min_words}."
            )
        self._limits, self._min_words = (zero_at, one_at), min_words

    def score(self, text: str, query: Query) -> float:
        """Return the ease between the limits, in [0, 1]."""
        words = WORD.findall(text[:MAX_CHARACTERS])
        return linear(reading_ease(text), *self._limits) if len(words) >= self._min_words else 0.0


def measured(text: str, unit: Unit) -> int:
    """Return the length of a text; words are what stands between spaces."""
    if unit == "words":
        return len(text.split())
    return len(text.strip()) if unit == "characters" else about_tokens(text.strip())


def reading_ease(text: str) -> float:
    """Return Flesch's reading ease of an English text: 206.835 - 1.015 words per sentence - 84.6 syllables per word.

    Source: R. Flesch, A new readability yardstick, Journal of Applied Psychology 32 (1948). Syllables are counted as groups of
    vowels, less a silent e at the end; so no dictionary is needed, and languages other than English are only roughly served.
    0 where there is no word.
    """
    part = text[:MAX_CHARACTERS]
    words = WORD.findall(part)
    if not words:
        return 0.0
    n_sentences = sum(bool(WORD.search(sentence)) for sentence in SENTENCE_END.split(part))
    n_syllables = sum(_syllables(word.casefold()) for word in words)
    return 206.835 - 1.015 * len(words) / n_sentences - 84.6 * n_syllables / len(words)


def _syllables(word: str) -> int:
    groups = len(_SYLLABLE.findall(word))
    is_silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
    return max(groups - is_silent, 1)
