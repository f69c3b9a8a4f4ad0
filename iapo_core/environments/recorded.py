"""Recorded completions: a finite stock of real texts per (candidate, query), judged by the task's scorers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, Self

import numpy as np

from iapo_core.arms import Contexts, FloatArray, IntArray
from iapo_core.environment import NO_VOTE, Evaluated, Outcomes, Pulls, split_queries
from iapo_core.environments.recording import recorded_cells, recorded_usd
from iapo_core.errors import RecordingError
from iapo_core.policy import candidate_name
from iapo_core.scorers import Judge, make_scorer
from iapo_core.scorers.golds import gold_votes
from iapo_core.task import Context, Task
from iapo_core.utility import rewards

COLUMNS = (
    "prompt", "decoding", "query", "sample", "text", "finish_reason", "prompt_tokens", "completion_tokens", "latency_s", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Completion:
    """One stored completion with how it was judged."""

    text: str
    answer: str | None
    scores: tuple[float, ...]
    cost: float
    completion_tokens: int
    finish_reason: str | None
    error: str | None
    prompt_tokens: int = 0
    usd: float = nan
    latency_s: float = nan


class RecordedEnvironment(Evaluated):
    """Serves stored completions in an order that the run's seed decides.

    Sample i of a cell is an independent draw, so a pull of n takes the cell's next n in the run's own order. When a cell has
    fewer than n left it is reshuffled and starts again: no pull holds a completion twice, and what had been served before is
    counted as reused.
    """

    def __init__(self, task: Task, completions: dict[str, Sequence[Any]], *, seed: int = 0, source: str = "recording") -> None:
        self.task = task
        self.name = task.id
        self.is_simulated = task.origin == "simulated"
        self.strategy = task.strategy
        self.objectives = tuple(o.id for o in task.objectives)
        self.objective_ranges = np.array([o.range for o in task.objectives], dtype=float)
        self.n_max = task.n_max
        self.contexts = contexts_of(task, task.contexts)
        self.split = split_queries(len(task.queries), seed)
        self.candidates = tuple(candidate_name(prompt, decoding, task) for prompt, decoding in task.candidates)
        self._rows = recorded_cells(task, completions, source)  # (P, X, S) rows of the recording
        self._data = completions
        self._judge(completions)
        self._order: IntArray = np.empty(0, dtype=int)
        self._used: IntArray = np.empty(0, dtype=int)
        self._served: np.ndarray = np.empty(0, dtype=bool)
        self._rng = np.random.default_rng(0)
        self._restart(0)

    def for_run(self, seed: int) -> Self:
        """Return this recording with nothing served yet: equal seeds give equal completions."""
        other = copy.copy(self)
        other._restart(seed)
        return other

    @property
    def n_queries(self) -> int:
        """X."""
        return int(self._rows.shape[1])

    def pull(self, pulls: Pulls) -> Outcomes:
        """Serve the next completions of each cell."""
        if int(pulls.sizes.max(initial=0)) > self.n_stored:
            raise RecordingError(
                f"A pull of {int(pulls.sizes.max())} is more than the {self.n_stored} completions stored per pair; lower N_max."
            )
        width = int(pulls.sizes.max(initial=0))
        samples = np.zeros((len(pulls.sizes), width), dtype=int)
        n_reused = 0
        for wave in _waves(pulls.candidates * self._rows.shape[1] + pulls.queries):  # a cell may occur twice in a batch
            n_reused += self._serve(pulls, wave, samples)
        cells = (pulls.candidates[:, None], pulls.queries[:, None], samples)
        padding = np.arange(width) >= pulls.sizes[:, None]
        return Outcomes(
            costs=np.where(padding, 0.0, self._costs[cells]),
            objectives=None if self.strategy == "majority_vote" else self._scores[cells],
            answers=None if self.strategy == "best_of_n" else self._answers[cells],
            gold=None if self.strategy == "best_of_n" else self._gold[pulls.queries],
            n_reused=n_reused,
            n_failed=int((self._failed[cells] & ~padding).sum()),
        )

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        """Estimate the reward before cost from every stored completion, shape (W, P, X', N)."""
        n_candidates, n_queries, n = len(self.candidates), len(queries), self.n_stored
        reward = rewards(
            self.strategy,
            weights,
            self._scores[:, queries].reshape(-1, n, len(self.objectives)),
            self._answers[:, queries].reshape(-1, n),
            np.tile(self._gold[queries], n_candidates),
        )  # (P X', W, n)
        shaped = reward.reshape(n_candidates, n_queries, len(weights), n)[..., : self.n_max]
        return np.moveaxis(shaped, 2, 0)

    def mean_costs(self) -> FloatArray:
        """Return the mean cost of one stored completion per candidate, shape (P,)."""
        mean: FloatArray = self._costs.mean(axis=(1, 2))
        return mean

    @property
    def n_stored(self) -> int:
        """Completions stored per (candidate, query)."""
        return int(self._rows.shape[2])

    def texts(self, candidate: int, query: int) -> list[Completion]:
        """Return the stored completions of one cell, in the order recorded."""
        return [
            Completion(
                text=str(self._data["text"][row]),
                answer=self._labels[code] if (code := int(self._answers[candidate, query, s])) != NO_VOTE else None,
                scores=tuple(map(float, self._scores[candidate, query, s])),
                cost=float(self._costs[candidate, query, s]),
                completion_tokens=int(self._data["completion_tokens"][row]),
                finish_reason=self._data["finish_reason"][row],
                error=self._data["error"][row],
                prompt_tokens=int(self._data["prompt_tokens"][row]),
                latency_s=nan if (seconds := self._data["latency_s"][row]) is None else float(seconds),
            )
            for s, row in enumerate(self._rows[candidate, query])
        ]

    def _restart(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 0x2EC0])
        base = np.broadcast_to(np.arange(self.n_stored), self._rows.shape)
        self._order = self._rng.permuted(base, axis=2)
        self._used = np.zeros(self._rows.shape[:2], dtype=int)
        self._served = np.zeros(self._rows.shape, dtype=bool)

    def _serve(self, pulls: Pulls, wave: IntArray, samples: IntArray) -> int:
        """Fill the wave's rows of `samples`; its cells are distinct. Returns how many had been served before."""
        candidates, queries, sizes = pulls.candidates[wave], pulls.queries[wave], pulls.sizes[wave]
        short = self._used[candidates, queries] + sizes > self.n_stored
        if short.any():
            again = (candidates[short], queries[short])
            self._order[again] = self._rng.permuted(self._order[again], axis=1)
            self._used[again] = 0
        start = self._used[candidates, queries]
        columns = np.arange(samples.shape[1])
        places = np.minimum(start[:, None] + columns, self.n_stored - 1)
        chosen = np.take_along_axis(self._order[candidates, queries], places, axis=1)
        samples[wave] = chosen
        self._used[candidates, queries] = start + sizes
        real = columns < sizes[:, None]
        cells = (np.repeat(candidates, sizes), np.repeat(queries, sizes), chosen[real])
        n_reused = int(self._served[cells].sum())
        self._served[cells] = True
        return n_reused

    def _judge(self, completions: dict[str, Sequence[Any]]) -> None:
        """Score every completion once; what failed scores each objective's minimum and votes for nothing."""
        task, shape = self.task, self._rows.shape
        scorers = [make_scorer(objective) for objective in task.objectives]
        if judge := next((o for o, s in zip(task.objectives, scorers, strict=True) if isinstance(s, Judge)), None):
            raise RecordingError(
                f"Task {task.id!r}: the objective {judge.id!r} asks a model for verdicts, and a recording stores none; "
                "make the task live, or choose another scorer."
            )
        codes: dict[str, int] = {}
        labels: dict[str, str] = {}
        self._scores = np.empty((*shape, len(scorers)))
        self._answers = np.full(shape, NO_VOTE, dtype=np.int16)
        self._failed = np.zeros(shape, dtype=bool)
        votes = task.strategy != "best_of_n"
        for place in np.ndindex(*shape):
            row, query = int(self._rows[place]), task.queries[place[1]]
            text, self._failed[place] = completions["text"][row], completions["error"][row] is not None
            if self._failed[place]:
                self._scores[place] = [o.range[0] for o in task.objectives]
                continue
            self._scores[place] = [
                min(max(s.score(text, query), o.range[0]), o.range[1]) for s, o in zip(scorers, task.objectives, strict=True)
            ]
            if votes and (answer := scorers[0].extract(text, query)) is not None:
                self._answers[place] = codes.setdefault(answer.casefold(), len(codes))
                labels.setdefault(answer.casefold(), answer)
        golds = gold_votes(task, scorers[0]) if votes else []
        for gold, query in zip(golds, task.queries, strict=bool(golds)):
            codes.setdefault(gold, len(codes))
            labels.setdefault(gold, str(query.gold))
        self._gold = np.array([codes[gold] for gold in golds] or [NO_VOTE] * len(task.queries), dtype=np.int16)
        self._labels = tuple(labels[code] for code in codes)  # as first spelled
        prompt_tokens = np.asarray(completions["prompt_tokens"], dtype=float)
        completion_tokens = np.asarray(completions["completion_tokens"], dtype=float)
        cost: FloatArray = np.asarray(
            task.cost.cost(
                prompt_tokens=prompt_tokens,
                completion_tokens=completion_tokens,
                usd=recorded_usd(task, completions, prompt_tokens, completion_tokens),
                seconds=np.array([seconds or 0.0 for seconds in completions["latency_s"]], dtype=float),
            )
        )
        bad = ~(np.isfinite(cost) & (cost >= 0))
        if bad.any():
            raise RecordingError(
                f"The recording of {task.id!r}, row {int(np.argmax(bad)) + 1}, has impossible token counts; record it again."
            )
        self._costs = cost[self._rows]


def contexts_of(task: Task, contexts: Sequence[Context]) -> Contexts:
    """Turn named weights into arrays in the order of the task's objectives.

    Raises:
        ContextError: If a context weighs nothing.
    """
    return Contexts(
        tuple(c.id for c in contexts),
        np.array([[c.weights.get(o.id, 0.0) for o in task.objectives] for c in contexts]),
        np.array([c.cost_weight for c in contexts]),
    )


def load_recording(task: Task, folder: Path, *, seed: int) -> RecordedEnvironment:
    """Read the task's parquet and check it against the task.

    Raises:
        RecordingError: If it is missing, unreadable or does not cover every pair.
    """
    import pyarrow
    import pyarrow.parquet

    if task.recording is None:
        raise RecordingError(f"Task {task.id!r} names no recording; add `recording` to its task.json or run it live.")
    path = folder / task.recording
    if path.resolve().parent != folder.resolve():
        raise RecordingError(f"{path}: a recording lies beside its task.json; give a plain file name.")
    try:
        table = pyarrow.parquet.read_table(path)
    except FileNotFoundError as error:
        raise RecordingError(f"{path}: there is no recording; make it with sample_tasks/record.py.") from error
    except (OSError, pyarrow.ArrowException) as error:
        raise RecordingError(f"{path}: cannot be read as parquet ({error}); record it again.") from error
    if missing := [c for c in COLUMNS if c not in table.column_names]:
        raise RecordingError(f"{path}: the columns {', '.join(missing)} are missing; it has {', '.join(table.column_names)}.")
    return RecordedEnvironment(task, {c: table.column(c).to_pylist() for c in COLUMNS}, seed=seed, source=str(path))


def _waves(keys: IntArray) -> list[IntArray]:
    """Split row numbers so that no key stands twice in a part; parts keep the order."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    first = np.r_[True, ranked[1:] != ranked[:-1]]
    starts = np.flatnonzero(first)
    occurrence = np.empty(len(keys), dtype=int)
    occurrence[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.r_[starts, len(keys)]))
    return [np.flatnonzero(occurrence == wave) for wave in range(int(occurrence.max(initial=-1)) + 1)]
