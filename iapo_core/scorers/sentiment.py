"""The mood of English texts, by the lexicon that vaderSentiment carries."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import Rated
from iapo_core.task import Query

_READ = 8_000  # characters; the analyser's time grows faster than the text


class Sentiment(Rated):
    """How positive (negative, neutral) an English completion sounds, by VADER's lexicon and rules."""

    def __init__(
        self, mood: Annotated[Literal["positive", "negative", "neutral"], "The mood that scores 1."] = "positive"
    ) -> None:
        self._mood, self._analyser = mood, _analyser()

    def score(self, text: str, query: Query) -> float:
        """Return the mood in [0, 1]: 0.5 is neutral where positive or negative is wanted."""
        if not text.strip():
            return 0.0
        compound = float(self._analyser.polarity_scores(text[:_READ])["compound"])  # -1 to 1
        if self._mood == "neutral":
            return 1.0 - abs(compound)
        return 0.5 + 0.5 * (compound if self._mood == "positive" else -compound)


@cache
def _analyser() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise ScorerError("it needs the package vaderSentiment; install it with: pip install 'iapo[scorers]'.") from error
    return SentimentIntensityAnalyzer()
