"""Buying what a pull lacks: reserved, called several at once, settled as it comes; nothing is bought twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from iapo_core.environments.calls import Caller, CallFailedError
from iapo_core.environments.live import Answer, CompletionStore, Key, Progress, Settled, Wanted
from iapo_core.environments.retry import Fault
from iapo_core.errors import BudgetGoneError, IapoError, InterruptedPullError, LiveError, StoreError

BREAKER = 5  # failures of a model in a row, without a success between them, that stop a run
REFUSALS = 4  # times in a row that the store may refuse before answers in hand are given up
_LOOK_S = 0.25


class Purchase:
    """One pull's purchase; at most `concurrency` rows are reserved at any time, so that no more can be lost.

    What has come and what is to go out next are stored and reserved in one transaction, as many at once as have gathered while
    the last one was written.

    Args:
        store: Where completions are kept.
        callers: By the row of their decoding config.
        concurrency: Calls in flight.
        is_leaving: Asked at least every quarter of a second; True stops buying.
        progress: What the run has seen so far, for the reports.
    """

    def __init__(
        self,
        store: CompletionStore,
        callers: Mapping[int, Caller],
        concurrency: int,
        is_leaving: Callable[[], bool],
        progress: Progress,
    ) -> None:
        self._store, self._callers, self._concurrency, self._is_leaving = store, callers, concurrency, is_leaving
        self._progress = self._reported = progress
        self._running: dict[asyncio.Task[Answer | Fault], Wanted] = {}
        self._done: deque[asyncio.Task[Answer | Fault]] = deque()
        self._some_done = asyncio.Event()
        self._held: list[tuple[Wanted, Fault]] = []  # failed without a bill; data only once the model has answered again
        self._came: list[Settled] = []
        self._released: list[Key] = []
        self._streaks = dict.fromkeys(callers, 0)
        self._stop: IapoError | None = None
        self._n_refused = 0  # times that the store has refused in a row

    async def buy(self, wanted: Sequence[Wanted]) -> None:
        """Buy everything that is wanted, or wait for it where another run is buying it.

        Raises:
            BudgetGoneError: If a cap refuses; what came is stored.
            InterruptedPullError: If `is_leaving` became true; calls in flight were waited for.
            LiveError: If a model cannot be used.
            StoreError: If the store refuses; what came meanwhile is stored where it takes it again.
        """
        waiting = list(wanted)
        while waiting:
            elsewhere = await self._round(deque(waiting))
            if elsewhere:
                await asyncio.sleep(_LOOK_S)
            cells = sorted({one.key.cell for one in elsewhere})
            have = await asyncio.to_thread(self._store.load, cells)
            waiting = [one for one in elsewhere if one.key not in have]

    async def _round(self, queue: deque[Wanted]) -> list[Wanted]:
        """Buy the queue; returns what another run is buying."""
        elsewhere: list[Wanted] = []
        while self._running or self._held or self._came or self._released or (queue and self._stop is None):
            if self._stop is None and self._is_leaving():
                self._stop = InterruptedPullError("Buying was interrupted; what came is stored.")
            n_free = self._concurrency - len(self._running) - len(self._held) if self._stop is None else 0
            batch = [queue.popleft() for _ in range(min(n_free, len(queue)))]
            if batch or self._came or self._released:
                elsewhere += await self._exchange(batch)
            if self._stop is not None and not isinstance(self._stop, BudgetGoneError):
                for caller in self._callers.values():  # within the caps, what is reserved still goes out
                    caller.stop()
            if self._running:
                await self._collect()
            elif self._held:
                self._resolve_held()
        if self._stop is not None:
            raise self._stop
        return elsewhere

    async def _exchange(self, batch: Sequence[Wanted]) -> list[Wanted]:
        """Store what came, reserve the batch and call for it; returns what is not ours to buy."""
        came, released = self._came, self._released
        self._came, self._released = [], []
        n_in_flight = len(self._running) + len(batch)
        waiting = next((caller.waiting for caller in self._callers.values() if caller.waiting and self._running), "")
        self._reported = self._progress._replace(n_in_flight=n_in_flight, waiting=waiting)
        try:
            mine, refusal = await asyncio.to_thread(self._store.exchange, came, released, batch, self._reported)
        except StoreError as error:
            self._stop = self._stop or error  # nothing more is bought, and what was paid for is not dropped at once
            self._came, self._released = came + self._came, released + self._released
            self._n_refused += 1
            if self._n_refused >= REFUSALS:
                raise
            await asyncio.sleep(0.25 * 2**self._n_refused)
            return []
        self._n_refused = 0
        for one in batch:
            if one.key in mine:
                task = asyncio.create_task(self._call(one))
                self._running[task] = one
                task.add_done_callback(self._has_ended)
        if refusal is not None:
            self._stop = BudgetGoneError(refusal)
            return []
        return [one for one in batch if one.key not in mine]

    async def _call(self, one: Wanted) -> Answer | Fault:
        try:
            return await self._callers[one.decoding].complete(one.messages, one.worst_usd)
        except CallFailedError as error:
            return error.fault

    def _has_ended(self, task: asyncio.Task[Answer | Fault]) -> None:
        self._done.append(task)
        self._some_done.set()

    async def _collect(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._some_done.wait(), _LOOK_S)
        self._some_done.clear()
        if not self._done:
            waiting = next((caller.waiting for caller in self._callers.values() if caller.waiting), "")
            if waiting != self._reported.waiting:
                await self._exchange([])
        while self._done:
            task = self._done.popleft()
            self._sort(self._running.pop(task), task.result())

    def _sort(self, one: Wanted, result: Answer | Fault) -> None:
        """Say what an answer or a fault means for its row and for its model."""
        if isinstance(result, Answer):
            self._came.append((one.key, result, "settled"))
            self._came += self._as_data([held for held in self._held if held[0].decoding == one.decoding])
            self._held = [held for held in self._held if held[0].decoding != one.decoding]
            self._streaks[one.decoding] = 0
            return
        if result.kind == "stop":
            self._released.append(one.key)
            self._stop = self._stop or LiveError(f"{one.model}: {result.words}. What was paid for is kept; resume after that.")
            return
        self._streaks[one.decoding] += 1
        if result.kind == "failed":
            self._came.append((one.key, Answer(error=result.words, usd=one.worst_usd, is_counted=False), "failed"))
        else:
            self._held.append((one, result))
        if self._streaks[one.decoding] >= BREAKER:
            self._stop = self._stop or LiveError(
                f"{one.model} failed {BREAKER} times in a row, the last time with: {result.words}. "
                "What was paid for is kept; resume when it works again."
            )

    def _resolve_held(self) -> None:
        """Nothing is in flight any more: what failed without a bill is the request's fault only if it was refused outright."""
        held, self._held = self._held, []
        refused = [] if self._stop is not None else [item for item in held if item[1].kind == "refused"]
        released = [item for item in held if item not in refused]
        if released and self._stop is None:
            one, fault = released[-1]
            self._stop = LiveError(f"{one.model} does not answer: {fault.words}. What was paid for is kept; resume later.")
        self._came += self._as_data(refused)
        self._released += [one.key for one, _ in released]

    @staticmethod
    def _as_data(held: Sequence[tuple[Wanted, Fault]]) -> list[Settled]:
        return [(one.key, Answer(error=fault.words, is_counted=False), "failed") for one, fault in held]
