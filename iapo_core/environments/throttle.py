"""How many calls to one model are in flight: up to a limit that halves when the provider says so and grows back slowly."""

from __future__ import annotations

import asyncio
import time


class Throttle:
    """Additive increase, multiplicative decrease of the calls in flight, and a common pause after a rate limit."""

    def __init__(self, n_most: int) -> None:
        self._n_most, self._limit, self._in_flight = n_most, float(n_most), 0
        self._not_before = 0.0
        self._changed = asyncio.Condition()

    @property
    def waits_s(self) -> float:
        """Seconds of the common pause that are left."""
        return max(self._not_before - time.monotonic(), 0.0)

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < max(int(self._limit), 1))
            self._in_flight += 1
        while (left := self.waits_s) > 0:
            await asyncio.sleep(left)

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def slow_down(self, wait_s: float) -> None:
        """Halve the limit and pause everybody; within one pause it halves once."""
        if self.waits_s == 0:
            self._limit = max(self._limit / 2, 1.0)
        self._not_before = max(self._not_before, time.monotonic() + wait_s)

    def went_well(self) -> None:
        """Let the limit grow by about one per limit's worth of answers."""
        self._limit = min(self._limit + 1 / self._limit, float(self._n_most))
