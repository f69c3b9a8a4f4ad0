"""Live completions of real models, through LiteLLM: what is stored is used, what is missing is bought, each exactly once."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np

from iapo_core.arms import FloatArray, IntArray
from iapo_core.environment import NO_VOTE, Outcomes, Pulls
from iapo_core.environments.calls import Caller, key_for
from iapo_core.environments.live import Answer, CompletionStore, Key, LiveSettings, Wanted
from iapo_core.environments.live_task import LiveTask
from iapo_core.environments.prices import price_of
from iapo_core.environments.purchase import Purchase
from iapo_core.errors import LiveError, TaskError
from iapo_core.scorers import make_scorer
from iapo_core.task import Task
from iapo_core.utility import rewards

Cell = tuple[int, int]  # candidate, query


class LlmEnvironment(LiveTask):
    """A task whose completions come from models, kept in a store.

    Sample i of a cell is an independent draw. Every run takes a cell's draws in order, so a run that is repeated, resumed or
    started beside another one finds in the store what was paid for, and buys the rest.

    Args:
        task: With origin "live".
        settings: How completions are bought.
        store: Where they are kept.
        seed: Splits the queries.
        key: A key in memory; else the environment variable named in the settings.
        is_leaving: Asked while buying; True interrupts it.
        is_trusted: True where the person who runs this process typed the base URL.
    """

    def __init__(
        self,
        task: Task,
        settings: LiveSettings,
        store: CompletionStore,
        *,
        seed: int = 0,
        key: str | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
        is_trusted: bool = False,
    ) -> None:
        super().__init__(task, seed=seed)
        self._settings, self._store, self._key, self._is_leaving = settings, store, key, is_leaving
        self._scorers = [make_scorer(objective) for objective in task.objectives]
        self._codes: dict[str, int] = {}
        self._gold = self._golds()
        if not is_trusted:
            settings.check_base()
        key_for(settings, key)
        self.prices = tuple(price_of(d.model, settings) for d in task.decoding)
        unknown = [d.model for d, price in zip(task.decoding, self.prices, strict=True) if not price.is_known]
        if settings.max_usd is not None and unknown:
            raise LiveError(
                f"The price of {unknown[0]!r} is not known, so a dollar cap cannot be kept; give its price per million tokens."
            )
        self._taken: Counter[str] = Counter()
        self._tally: Counter[str] = Counter()  # shared by the copies of `for_run`: the held-out check is part of the run
        self._held: dict[Cell, list[Answer]] = {}
        self._rng = np.random.default_rng([seed, 0x11E5])  # for the jitter of waits alone

    def for_run(self, seed: int) -> Self:
        """Return this environment at the first draw of every cell."""
        other = copy.copy(self)
        other._taken, other._held = Counter(), {}
        other._rng = np.random.default_rng([seed, 0x11E5])
        return other

    def pull(self, pulls: Pulls) -> Outcomes:
        """Take the next draws of each cell from the store and buy those that are missing.

        Raises:
            LiveError: If a cap, a model or a wish stops the buying; a repeated pull buys only the rest.
        """
        wanted = [
            [self._next(int(candidate), int(query)) for _ in range(int(size))]
            for candidate, query, size in zip(pulls.candidates, pulls.queries, pulls.sizes, strict=True)
        ]
        flat = [one for row in wanted for one in row]
        cells = sorted({one.key.cell for one in flat})
        stored = self._store.load(cells)
        while missing := [one for one in flat if one.key not in stored]:  # again what was lost meanwhile, by a stall of ours
            found = sum(stored[one.key].is_reused for one in flat if one.key in stored)
            self._buy_in_thread(missing, self._tally["reused"] + found)
            stored = self._store.load(cells)
        n_reused = sum(stored[one.key].is_reused for one in flat)
        self._tally["reused"] += n_reused
        self._store.report(n_in_flight=0, n_reused=self._tally["reused"], waiting="")
        return self._outcomes(pulls, [[stored[one.key] for one in row] for row in wanted], n_reused)

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        """Estimate the reward from what this run has drawn, nan where a cell has too few draws; shape (W, P, X', N)."""
        curves = np.full((len(weights), len(self.candidates), len(queries), self.n_max), np.nan)
        for p in range(len(self.candidates)):
            for x, query in enumerate(queries):
                if answers := self._held.get((p, int(query))):
                    scores, votes, _, _ = self._judged([answers], [int(query)])
                    reward = rewards(self.strategy, weights, scores, votes, self._gold[[int(query)]])[0]  # (W, n)
                    n = min(reward.shape[1], self.n_max)
                    curves[:, p, x, :n] = reward[:, :n]
        return curves

    def mean_costs(self) -> FloatArray:
        """Return the mean cost of the completions that this run has drawn, nan where there is none; shape (P,)."""
        sums, counts = np.zeros(len(self.candidates)), np.zeros(len(self.candidates))
        for (p, _), answers in self._held.items():
            sums[p] += sum(self._cost(answer) for answer in answers)
            counts[p] += len(answers)
        mean: FloatArray = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        return mean

    def _next(self, candidate: int, query: int) -> Wanted:
        prompt, d = self._pairs[candidate]
        decoding, asked = self.task.decoding[d], self.task.queries[query]
        messages = tuple(decoding.messages(prompt, asked.fields))
        identity = [
            decoding.model_dump(mode="json", include={"model", "temperature", "top_p", "max_tokens"}),
            self._settings.identity or self._settings.api_base,
            messages,
        ]
        cell = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        key = Key(cell, self._taken[cell])
        self._taken[cell] += 1
        worst = self.prices[d].worst_usd(messages, decoding.max_tokens)
        return Wanted(key, worst, decoding.model, prompt.id, asked.id, messages, d)

    def _buy_in_thread(self, missing: list[Wanted], n_reused: int) -> None:
        """Buy in a thread of its own, which has no event loop yet and no error in hand that would blur the errors of calls."""
        is_interrupted = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            buying = pool.submit(lambda: asyncio.run(self._buy(missing, n_reused, is_interrupted)))
            try:
                buying.result()
            except BaseException:
                is_interrupted.set()  # Ctrl-C reaches this thread alone; what is in flight is waited for and kept
                raise

    async def _buy(self, missing: list[Wanted], n_reused: int, is_interrupted: threading.Event) -> None:
        configs = zip(self.task.decoding, self.prices, strict=True)
        callers = [Caller(decoding, self._settings, price, self._key, self._rng) for decoding, price in configs]
        try:

            def leaving() -> bool:
                return is_interrupted.is_set() or self._is_leaving()

            await Purchase(self._store, callers, self._settings.concurrency, leaving, n_reused).buy(missing)
        finally:
            for caller in callers:
                await caller.close()

    def _outcomes(self, pulls: Pulls, answers: list[list[Answer]], n_reused: int) -> Outcomes:
        queries = [int(query) for query in pulls.queries]
        scores, votes, costs, n_failed = self._judged(answers, queries)
        for candidate, query, row in zip(pulls.candidates, queries, answers, strict=True):
            self._held.setdefault((int(candidate), query), []).extend(row)
        return Outcomes(
            costs=costs,
            objectives=None if self.strategy == "majority_vote" else scores,
            answers=None if self.strategy == "best_of_n" else votes,
            gold=None if self.strategy == "best_of_n" else self._gold[pulls.queries],
            n_reused=n_reused,
            n_failed=n_failed,
        )

    def _judged(self, answers: list[list[Answer]], queries: list[int]) -> tuple[FloatArray, IntArray, FloatArray, int]:
        """Score rows of completions in the order asked for, never in that of arrival; padding costs and votes nothing."""
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
                found = [scorer.score(answer.text, query) for scorer in self._scorers]
                scores[i, j] = np.clip(found, self.objective_ranges[:, 0], self.objective_ranges[:, 1])
                if self.strategy != "best_of_n" and (vote := self._scorers[0].extract(answer.text, query)) is not None:
                    votes[i, j] = self._codes.setdefault(vote.casefold(), len(self._codes))
        return scores, votes, costs, n_failed

    def _cost(self, answer: Answer) -> float:
        return self.task.cost.cost(
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            usd=answer.usd,
            seconds=answer.latency_s,
        )

    def _golds(self) -> IntArray:
        golds = [q.gold if isinstance(q.gold, str) else None for q in self.task.queries]
        if self.strategy != "best_of_n" and None in golds:
            blank = self.task.queries[golds.index(None)].id
            raise TaskError(
                f"Task {self.name!r}: query {blank!r} has no gold answer, which a majority vote is judged by; add it."
            )
        return np.array(
            [NO_VOTE if gold is None else self._codes.setdefault(gold.casefold(), len(self._codes)) for gold in golds],
            dtype=np.int32,
        )
