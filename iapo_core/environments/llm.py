"""Live completions of real models, through LiteLLM: what is stored is used, what is missing is bought, each exactly once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np

from iapo_core.environment import Outcomes, Pulls
from iapo_core.environments.calls import Caller
from iapo_core.environments.endpoints import Endpoint, endpoint_of
from iapo_core.environments.judged import JudgedTask
from iapo_core.environments.live import Answer, CompletionStore, Key, LiveSettings, Progress, Wanted, check_base
from iapo_core.environments.purchase import Purchase
from iapo_core.environments.throttle import Throttle
from iapo_core.errors import LiveError
from iapo_core.task import Task


class LlmEnvironment(JudgedTask):
    """A task whose completions come from models, kept in a store.

    A run that is repeated, resumed or started beside another one finds in the store what was paid for, and buys the rest.

    Args:
        task: With origin "live".
        settings: How completions are bought.
        store: Where they are kept.
        seed: Splits the queries.
        keys: Keys in memory by the name of their slot; else those of the environment.
        endpoints: Where each of `endpoints.called_configs` is reached; what the settings say where it is None.
        is_leaving: Asked while buying; True interrupts it.
        is_trusted: True where the person who runs this process chose models and the settings' base URL.
    """

    def __init__(
        self,
        task: Task,
        settings: LiveSettings,
        store: CompletionStore,
        *,
        seed: int = 0,
        keys: Mapping[str, str] | None = None,
        endpoints: Sequence[Endpoint] | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
        is_trusted: bool = False,
    ) -> None:
        super().__init__(task, settings, store, seed=seed)
        self._store: CompletionStore = store
        self._is_leaving = is_leaving
        self._endpoints = tuple(endpoints or (endpoint_of(decoding, settings) for decoding in self._configs))
        self.prices = tuple(endpoint.price for endpoint in self._endpoints)
        judges = range(len(task.decoding), len(self._configs))
        self._called = sorted({*(d for _, d in self._pairs), *judges})  # rows of configs of a candidate or a judge
        self._check(is_trusted)
        self._keys = {d: self._endpoints[d].key(keys or {}) for d in self._called}
        self._throttles: dict[tuple[str, str | None], Throttle] = {}
        self._rng = np.random.default_rng([seed, 0x11E5])  # for the jitter of waits alone

    def _check(self, is_trusted: bool) -> None:
        for d in self._called:
            endpoint = self._endpoints[d]
            if not is_trusted:
                endpoint.check()
            elif endpoint.api_base != self._settings.api_base:  # the task's own address, which nobody typed here
                check_base(endpoint.api_base)
            if self._settings.max_usd is not None and not endpoint.price.is_known:
                raise LiveError(
                    f"The price of {endpoint.model!r} is not known, so a dollar cap cannot be kept; "
                    "give its price per million tokens."
                )

    def for_run(self, seed: int) -> Self:
        """Return this environment at the first draw of every cell."""
        other = super().for_run(seed)
        other._rng = np.random.default_rng([seed, 0x11E5])
        return other

    def pull(self, pulls: Pulls) -> Outcomes:
        """Take the next draws of each cell from the store and buy those that are missing.

        Raises:
            LiveError: If a cap, a model or a wish stops the buying; a repeated pull buys only the rest.
        """
        wanted = self._wanted(pulls)
        flat = [one for row in wanted for one in row]
        stored = self._bought(flat)
        n_reused = sum(stored[one.key].is_reused for one in flat)
        self._tally["reused"] += n_reused
        outcomes = self._outcomes(pulls, [[stored[one.key] for one in row] for row in wanted], n_reused)
        self._store.exchange([], [], [], self._progress())
        return outcomes

    def _verdicts(self, asked: list[Wanted]) -> Mapping[Key, Answer]:
        return self._bought(list({one.key: one for one in asked}.values()))

    def _bought(self, wanted: list[Wanted]) -> Mapping[Key, Answer]:
        """Return what is wanted from the store, after buying what is missing there."""
        cells = sorted({one.key.cell for one in wanted})
        stored = self._store.load(cells)
        while missing := [one for one in wanted if one.key not in stored]:  # again what was lost meanwhile, by a stall of ours
            self._buy_in_thread(missing, sum(stored[one.key].is_reused for one in wanted if one.key in stored))
            stored = self._store.load(cells)
        return stored

    def _worst_usd(self, decoding: int, messages: tuple[dict[str, str], ...]) -> float:
        return self.prices[decoding].worst_usd(messages, self._configs[decoding].max_tokens)

    def _buy_in_thread(self, missing: list[Wanted], n_found: int) -> None:
        """Buy in a thread of its own, which has no event loop yet and no error in hand that would blur the errors of calls."""
        is_interrupted = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            buying = pool.submit(lambda: asyncio.run(self._buy(missing, n_found, is_interrupted)))
            try:
                buying.result()
            except BaseException:
                is_interrupted.set()  # Ctrl-C reaches this thread alone; what is in flight is waited for and kept
                raise

    async def _buy(self, missing: list[Wanted], n_found: int, is_interrupted: threading.Event) -> None:
        callers = {d: self._caller(d) for d in self._called}
        try:

            def leaving() -> bool:
                return is_interrupted.is_set() or self._is_leaving()

            await Purchase(
                self._store,
                callers,
                self._settings.concurrency,
                leaving,
                self._progress(n_found if missing[0].kind == "completion" else 0),
            ).buy(missing)
        finally:
            for caller in callers.values():
                await caller.close()

    def _progress(self, n_found: int = 0) -> Progress:
        return Progress(n_reused=self._tally["reused"] + n_found, n_unread=self._tally["unread"])

    def _caller(self, d: int) -> Caller:
        endpoint = self._endpoints[d]
        new = Throttle(self._settings.concurrency, self._settings.rate_limits(endpoint.model))
        throttle = self._throttles.setdefault((endpoint.model, endpoint.api_base), new)
        throttle.begin()
        return Caller(self._configs[d], endpoint, self._settings, self._keys[d], throttle, self._rng)
