"""A live task with its draws at hand: which sample comes next, how each is scored, what it cost; not where it comes from."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.environment import NO_VOTE, Outcomes, Pulls
from iapo_core.environments.endpoints import identity_of
from iapo_core.environments.live import Answer, CompletionSource, Key, LiveSettings, Wanted
from iapo_core.environments.live_task import LiveTask
from iapo_core.environments.recorded import Completion
from iapo_core.errors import LiveError
from iapo_core.scorers import Judge, make_scorer
from iapo_core.scorers.golds import gold_votes
from iapo_core.task import DecodingConfig, Task
from iapo_core.utility import rewards

Cell = tuple[int, int]  # candidate, query
Messages = tuple[dict[str, str], ...]


class Drawn(NamedTuple):
    """A completion as the run drew it."""

    answer: Answer
    scores: FloatArray  # (K,)
    vote: int
    cost: float


class JudgedTask(LiveTask):
    """A live task whose draws are kept in a store and judged here; subclasses say what happens to those that are missing.

    Sample i of a cell is an independent draw. Every run takes a cell's draws in order, so equal runs ask for equal keys.

    Args:
        task: With origin "live".
        settings: What the store's keys are made of, beside the task.
        store: Where completions are kept.
        seed: Splits the queries.
    """

    def __init__(self, task: Task, settings: LiveSettings, store: CompletionSource, *, seed: int = 0) -> None:
        super().__init__(task, seed=seed)
        self._settings, self._store = settings, store
        self._scorers = [make_scorer(objective) for objective in task.objectives]
        self._judges = {k: scorer for k, scorer in enumerate(self._scorers) if isinstance(scorer, Judge)}
        self._configs = (*task.decoding, *(judge.decoding for judge in self._judges.values()))  # all that are called
        self._tally: Counter[str] = Counter()  # shared by the copies of `for_run`: the held-out check is part of the run
        self._codes: dict[str, int] = {}
        self._gold = self._golds()
        self._taken: Counter[str] = Counter()
        self._held: dict[Cell, list[Drawn]] = {}

    def for_run(self, seed: int) -> Self:
        """Return this environment at the first draw of every cell."""
        other = copy.copy(self)
        other._taken, other._held = Counter(), {}
        return other

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        """Estimate the reward from what this run has drawn, nan where a cell has too few draws; shape (W, P, X', N)."""
        curves = np.full((len(weights), len(self.candidates), len(queries), self.n_max), np.nan)
        for p in range(len(self.candidates)):
            for x, query in enumerate(queries):
                if drawn := self._held.get((p, int(query))):
                    scores = np.array([[one.scores for one in drawn]])  # (1, n, K)
                    votes = np.array([[one.vote for one in drawn]], dtype=np.int32)
                    reward = rewards(self.strategy, weights, scores, votes, self._gold[[int(query)]])[0]  # (W, n)
                    n = min(reward.shape[1], self.n_max)
                    curves[:, p, x, :n] = reward[:, :n]
        return curves

    def mean_costs(self) -> FloatArray:
        """Return the mean cost of the completions that this run has drawn, nan where there is none; shape (P,)."""
        sums, counts = np.zeros(len(self.candidates)), np.zeros(len(self.candidates))
        for (p, _), drawn in self._held.items():
            sums[p] += sum(one.cost for one in drawn)
            counts[p] += len(drawn)
        mean: FloatArray = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        return mean

    def texts(self, candidate: int, query: int) -> list[Completion]:
        """Return the completions of one cell that this run has drawn, in the order drawn."""
        asked = self.task.queries[query]
        votes = self.strategy != "best_of_n"
        return [
            Completion(
                text=one.answer.text,
                answer=self._scorers[0].extract(one.answer.text, asked) if votes and one.answer.error is None else None,
                scores=tuple(map(float, one.scores)),
                cost=one.cost,
                completion_tokens=one.answer.completion_tokens,
                finish_reason=one.answer.finish_reason,
                error=one.answer.error,
                prompt_tokens=one.answer.prompt_tokens,
                usd=one.answer.usd,
                latency_s=one.answer.latency_s,
            )
            for one in self._held.get((candidate, query), [])
        ]

    def _wanted(self, pulls: Pulls) -> list[list[Wanted]]:
        """Return the next draws of every pull; they count as taken."""
        return [
            [self._next(int(candidate), int(query)) for _ in range(int(size))]
            for candidate, query, size in zip(pulls.candidates, pulls.queries, pulls.sizes, strict=True)
        ]

    def _next(self, candidate: int, query: int) -> Wanted:
        prompt, d = self._pairs[candidate]
        decoding, asked = self.task.decoding[d], self.task.queries[query]
        messages = tuple(decoding.messages(prompt, asked.fields))
        cell = self._cell(decoding, messages)
        key = Key(cell, self._taken[cell])
        self._taken[cell] += 1
        return Wanted(key, self._worst_usd(d, messages), decoding.model, prompt.id, asked.id, messages, d)

    def _cell(self, decoding: DecodingConfig, messages: Messages) -> str:
        """Return the hash of what is asked of which model."""
        identity = [
            decoding.model_dump(mode="json", include={"model", "temperature", "top_p", "max_tokens"}),
            identity_of(decoding, self._settings),
            messages,
        ]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    def _asked(self, k: int, answer: Answer, query: int) -> Wanted:
        """Return what a judge is asked about a completion; equal completions of a query share their verdict."""
        judge, asked = self._judges[k], self.task.queries[query]
        messages = tuple(judge.messages(answer.text, asked))
        d = len(self.task.decoding) + list(self._judges).index(k)
        key = Key(self._cell(judge.decoding, messages), 0)
        objective = self.task.objectives[k].id
        return Wanted(key, self._worst_usd(d, messages), judge.decoding.model, objective, asked.id, messages, d, kind="verdict")

    def _verdicts(self, asked: list[Wanted]) -> Mapping[Key, Answer]:
        """Return the judges' replies.

        Raises:
            LiveError: If one is not stored: the run had not come so far.
        """
        stored = self._store.load(sorted({one.key.cell for one in asked}))
        if missing := next((one for one in asked if one.key not in stored), None):
            raise LiveError(
                f"A verdict of objective {missing.prompt!r} on query {missing.query!r} is not stored; resume the run to buy it."
            )
        return stored

    def _worst_usd(self, decoding: int, messages: Messages) -> float:
        """Return the most that a call can cost; nothing is called here."""
        return 0.0

    def _outcomes(self, pulls: Pulls, answers: list[list[Answer]], n_reused: int) -> Outcomes:
        queries = [int(query) for query in pulls.queries]
        scores, votes, costs, n_failed = self._judged(answers, queries)
        for i, (candidate, query, row) in enumerate(zip(pulls.candidates, queries, answers, strict=True)):
            drawn = [Drawn(answer, scores[i, j], int(votes[i, j]), float(costs[i, j])) for j, answer in enumerate(row)]
            self._held.setdefault((int(candidate), query), []).extend(drawn)
        return Outcomes(
            costs=costs,
            objectives=None if self.strategy == "majority_vote" else scores,
            answers=None if self.strategy == "best_of_n" else votes,
            gold=None if self.strategy == "best_of_n" else self._gold[pulls.queries],
            n_reused=n_reused,
            n_failed=n_failed,
        )

    def _judged(self, answers: list[list[Answer]], queries: list[int]) -> tuple[FloatArray, IntArray, FloatArray, int]:
        """Score rows of completions in the order asked for, never in that of arrival; padding costs and votes nothing.

        A verdict that gives no score scores the objective's minimum.
        """
        asked = {
            (i, j, k): self._asked(k, answer, query)
            for i, (row, query) in enumerate(zip(answers, queries, strict=True))
            for j, answer in enumerate(row)
            for k in self._judges
            if answer.error is None
        }
        verdicts = self._verdicts(list(asked.values())) if asked else {}
        width = max(map(len, answers), default=0)
        scores = np.zeros((len(answers), width, len(self._scorers)))
        votes = np.full((len(answers), width), NO_VOTE, dtype=np.int32)
        costs = np.zeros((len(answers), width))
        n_failed = 0
        for i, (row, q) in enumerate(zip(answers, queries, strict=True)):
            query = self.task.queries[q]
            for j, answer in enumerate(row):
                costs[i, j] = self._cost(answer)
                if answer.error is not None:
                    scores[i, j] = self.objective_ranges[:, 0]
                    n_failed += 1
                    continue
                found = [
                    self._graded(k, verdicts[asked[i, j, k].key]) if k in self._judges else scorer.score(answer.text, query)
                    for k, scorer in enumerate(self._scorers)
                ]
                scores[i, j] = np.clip(found, self.objective_ranges[:, 0], self.objective_ranges[:, 1])
                if self.strategy != "best_of_n" and (vote := self._scorers[0].extract(answer.text, query)) is not None:
                    votes[i, j] = self._codes.setdefault(vote.casefold(), len(self._codes))
        return scores, votes, costs, n_failed

    def _graded(self, k: int, verdict: Answer) -> float:
        grade = self._judges[k].read(verdict.text) if verdict.error is None else None
        self._tally["unread"] += grade is None
        return float(self.objective_ranges[k, 0]) if grade is None else grade

    def _cost(self, answer: Answer) -> float:
        return self.task.cost.cost(
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            usd=answer.usd,
            seconds=answer.latency_s,
        )

    def _golds(self) -> IntArray:
        if self.strategy == "best_of_n":
            return np.full(len(self.task.queries), NO_VOTE, dtype=np.int32)
        golds = gold_votes(self.task, self._scorers[0])
        return np.array([self._codes.setdefault(gold, len(self._codes)) for gold in golds], dtype=np.int32)
