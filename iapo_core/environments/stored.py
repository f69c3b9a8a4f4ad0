"""A live run's completions, read again: what the run drew is served once more, nothing is called."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from iapo_core.environment import Outcomes, Pulls
from iapo_core.environments.judged import JudgedTask
from iapo_core.environments.live import CompletionSource, LiveSettings
from iapo_core.errors import LiveError
from iapo_core.scorers import Scorer
from iapo_core.task import Query, Task


class StoredEnvironment(JudgedTask):
    """Serves the stored completions of a live task, sample by sample, as the run that bought them took them.

    A run is opened again after each round, so that what a text was worth is remembered from one time to the next.
    """

    def __init__(self, task: Task, settings: LiveSettings, store: CompletionSource, *, seed: int = 0) -> None:
        super().__init__(task, settings, store, seed=seed)
        self._scorers = [
            scorer if k in self._judges else _Remembering(scorer, _worth(task.fingerprint, k))
            for k, scorer in enumerate(self._scorers)
        ]

    def pull(self, pulls: Pulls) -> Outcomes:
        """Serve the next draws of each cell.

        Raises:
            LiveError: If one is not stored: the run had not come so far.
        """
        wanted = self._wanted(pulls)
        stored = self._store.load(sorted({one.key.cell for row in wanted for one in row}))
        if missing := next((one for row in wanted for one in row if one.key not in stored), None):
            raise LiveError(
                f"Completion {missing.key.sample + 1} of prompt {missing.prompt!r} on query {missing.query!r} is not stored; "
                "resume the run to buy it."
            )
        n_reused = sum(stored[one.key].is_reused for row in wanted for one in row)
        return self._outcomes(pulls, [[stored[one.key] for one in row] for row in wanted], n_reused)

    def hold(self, other: StoredEnvironment) -> None:
        """Count what another copy has drawn, of other queries, as drawn here too."""
        self._held = {**other._held, **self._held}


class _Remembering:
    """A scorer that judges each text once."""

    def __init__(self, scorer: Scorer, worth: dict[Any, Any]) -> None:
        self._scorer, self._worth = scorer, worth

    def score(self, text: str, query: Query) -> float:
        key = ("score", query.id, text)
        if key not in self._worth:
            self._worth[key] = self._scorer.score(text, query)
        return float(self._worth[key])

    def extract(self, text: str, query: Query) -> str | None:
        key = ("vote", query.id, text)
        if key not in self._worth:
            self._worth[key] = self._scorer.extract(text, query)
        vote: str | None = self._worth[key]
        return vote


@lru_cache(maxsize=64)
def _worth(fingerprint: str, objective: int) -> dict[Any, Any]:
    """Return what is remembered of one objective of a task."""
    return {}
