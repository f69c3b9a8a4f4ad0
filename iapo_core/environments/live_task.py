"""What a live task says before anything is bought: its arms, contexts and split; enough to plan a run."""

from __future__ import annotations

from typing import Self

import numpy as np

from iapo_core.environment import Evaluated, Outcomes, Pulls, split_queries
from iapo_core.environments.recorded import contexts_of
from iapo_core.errors import LiveError
from iapo_core.policy import candidate_name
from iapo_core.task import Task


class LiveTask(Evaluated):
    """A live task that buys nothing; `LlmEnvironment` adds the buying."""

    def __init__(self, task: Task, *, seed: int = 0) -> None:
        self.task = task
        self.name = task.id
        self.is_simulated = False
        self.strategy = task.strategy
        self.objectives = tuple(o.id for o in task.objectives)
        self.objective_ranges = np.array([o.range for o in task.objectives], dtype=float)
        self.n_max = task.n_max
        self.contexts = contexts_of(task, task.contexts)
        self.split = split_queries(len(task.queries), seed)
        rows = {decoding.id: d for d, decoding in enumerate(task.decoding)}
        self._pairs = [(prompt, rows[decoding.id]) for prompt, decoding in task.candidates]
        self.candidates = tuple(candidate_name(prompt, decoding, task) for prompt, decoding in task.candidates)

    @property
    def n_queries(self) -> int:
        """X."""
        return len(self.task.queries)

    def for_run(self, seed: int) -> Self:
        """Return itself: nothing is drawn here."""
        return self

    def pull(self, pulls: Pulls) -> Outcomes:
        """Refuse.

        Raises:
            LiveError: Always.
        """
        raise LiveError(f"Task {self.name!r} buys its completions; only a run that was started does so.")
