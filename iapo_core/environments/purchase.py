"""Buying what a pull lacks: reserved, called several at once, settled as it comes; nothing is bought twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from iapo_core.environments.calls import Caller, CallFailedError
from iapo_core.environments.live import Answer, CompletionStore, Key, Settled, Wanted
from iapo_core.environments.retry import Fault
from iapo_core.errors import BudgetGoneError, InterruptedPullError, LiveError

BREAKER = 5  # failures of a model in a row, without a success between them, that stop a run
_LOOK_S = 0.25


class Purchase:
    """One pull's purchase; at most `concurrency` rows are reserved at any time, so that no more can be lost.

    Args:
        store: Where completions are kept.
        callers: By the row of their decoding config.
        concurrency: Calls in flight.
        is_leaving: Asked at least every quarter of a second; True stops buying.
        n_reused: What the pull found in the store, for the report.
    """

    def __init__(
        self,
        store: CompletionStore,
        callers: Mapping[int, Caller],
        concurrency: int,
        is_leaving: Callable[[], bool],
        n_reused: int,
    ) -> None:
        self._store, self._callers, self._concurrency, self._is_leaving = store, callers, concurrency, is_leaving
        self._n_reused = n_reused
        self._running: dict[asyncio.Task[Answer | Fault], Wanted] = {}
        self._held: list[tuple[Wanted, Fault]] = []  # failed without a bill; data only once the model has answered again
        self._streaks = dict.fromkeys(callers, 0)
        self._stop: LiveError | None = None

    async def buy(self, wanted: Sequence[Wanted]) -> None:
        """Buy everything that is wanted, or wait for it where another run is buying it.

        Raises:
            BudgetGoneError: If a cap refuses; what came is stored.
            InterruptedPullError: If `is_leaving` became true; calls in flight were waited for.
            LiveError: If a model cannot be used.
        """
        try:
            waiting = list(wanted)
            while waiting:
                elsewhere = await self._round(deque(waiting))
                if elsewhere:
                    await asyncio.sleep(_LOOK_S)
                cells = sorted({one.key.cell for one in elsewhere})
                have = await asyncio.to_thread(self._store.load, cells)
                waiting = [one for one in elsewhere if one.key not in have]
        finally:
            await asyncio.to_thread(self._report)

    async def _round(self, queue: deque[Wanted]) -> list[Wanted]:
        """Buy the queue; returns what another run is buying."""
        elsewhere: list[Wanted] = []
        while self._running or self._held or (queue and self._stop is None):
            if self._stop is None and self._is_leaving():
                self._stop = InterruptedPullError("Buying was interrupted; what came is stored.")
            if self._stop is None and queue:
                elsewhere += await self._launch(queue)
            if self._stop is not None and not isinstance(
                self._stop, BudgetGoneError
            ):  # within the caps, what is reserved goes out
                for caller in self._callers.values():
                    caller.stop()
            if self._running:
                await self._collect()
            elif self._held:
                await self._resolve_held()
        if self._stop is not None:
            raise self._stop
        return elsewhere

    async def _launch(self, queue: deque[Wanted]) -> list[Wanted]:
        n_free = self._concurrency - len(self._running) - len(self._held)
        batch = [queue.popleft() for _ in range(min(n_free, len(queue)))]
        if not batch:
            return []
        mine, refusal = await asyncio.to_thread(self._store.reserve, batch)
        for one in batch:
            if one.key in mine:
                task = asyncio.create_task(self._call(one))
                self._running[task] = one
        if refusal is not None:
            self._stop = BudgetGoneError(refusal)
            return []
        return [one for one in batch if one.key not in mine]

    async def _call(self, one: Wanted) -> Answer | Fault:
        try:
            return await self._callers[one.decoding].complete(one.messages, one.worst_usd)
        except CallFailedError as error:
            return error.fault

    async def _collect(self) -> None:
        done, _ = await asyncio.wait(self._running, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        settled: list[Settled] = []
        released: list[Key] = []
        for task in done:
            one, result = self._running.pop(task), task.result()
            if isinstance(result, Answer):
                settled.append((one.key, result, "settled"))
                settled += self._as_data([held for held in self._held if held[0].decoding == one.decoding])
                self._held = [held for held in self._held if held[0].decoding != one.decoding]
                self._streaks[one.decoding] = 0
                continue
            if result.kind == "stop":
                released.append(one.key)
                self._stop = self._stop or LiveError(
                    f"{one.model}: {result.words}. What was paid for is kept; resume after that."
                )
                continue
            self._streaks[one.decoding] += 1
            if result.kind == "failed":
                settled.append((one.key, Answer(error=result.words, usd=one.worst_usd, is_counted=False), "failed"))
            else:
                self._held.append((one, result))
            if self._streaks[one.decoding] >= BREAKER:
                self._stop = self._stop or LiveError(
                    f"{one.model} failed {BREAKER} times in a row, the last time with: {result.words}. "
                    "What was paid for is kept; resume when it works again."
                )
        if settled or released:
            await asyncio.to_thread(self._store.settle, settled, released)
        if not done or len(self._running) == 0:
            await asyncio.to_thread(self._report)

    async def _resolve_held(self) -> None:
        """Nothing is in flight any more: what failed without a bill is the request's fault only if it was refused outright."""
        held, self._held = self._held, []
        refused = [] if self._stop is not None else [item for item in held if item[1].kind == "refused"]
        released = [item for item in held if item not in refused]
        if released and self._stop is None:
            one, fault = released[-1]
            self._stop = LiveError(f"{one.model} does not answer: {fault.words}. What was paid for is kept; resume later.")
        await asyncio.to_thread(self._store.settle, self._as_data(refused), [one.key for one, _ in released])

    @staticmethod
    def _as_data(held: Sequence[tuple[Wanted, Fault]]) -> list[Settled]:
        return [(one.key, Answer(error=fault.words, is_counted=False), "failed") for one, fault in held]

    def _report(self) -> None:
        waiting = next((caller.waiting for caller in self._callers.values() if caller.waiting and self._running), "")
        self._store.report(n_in_flight=len(self._running), n_reused=self._n_reused, waiting=waiting)
