"""How fast one model is called: a limit of calls in flight that halves when the provider says so, and rates per minute."""

from __future__ import annotations

import asyncio
import time

from iapo_core.environments.live import RateLimits


class Pace:
    """Spreads requests and tokens evenly over the minute; whoever asks is told how long to wait, and has then taken its place."""

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self._next_request = self._next_token = 0.0

    def wait_s(self, n_tokens: int) -> float:
        """Take a place for a request that counts as `n_tokens` tokens; returns the seconds until it comes."""
        now = time.monotonic()
        at = now
        if self.limits.requests_per_minute is not None:
            at = max(at, self._next_request)
        if self.limits.tokens_per_minute is not None:
            at = max(at, self._next_token)
            self._next_token = at + 60 * n_tokens / self.limits.tokens_per_minute
        if self.limits.requests_per_minute is not None:
            self._next_request = at + 60 / self.limits.requests_per_minute
        return at - now

    def give_back(self, n_tokens: int) -> None:
        """Return tokens that were counted and not used."""
        if self.limits.tokens_per_minute is not None:
            self._next_token -= 60 * n_tokens / self.limits.tokens_per_minute


class Throttle:
    """Additive increase, multiplicative decrease of the calls in flight, and a common pause after a rate limit.

    One for each model of a run, whatever the number of its decoding configs; what it has learnt outlives an event loop.
    """

    def __init__(self, n_most: int, limits: RateLimits | None = None) -> None:
        self._n_most, self._limit, self._in_flight = n_most, float(n_most), 0
        self._not_before = 0.0
        self.pace = Pace(limits or RateLimits())
        self._changed = asyncio.Condition()

    def begin(self) -> None:
        """Start over in a new event loop: nothing is in flight."""
        self._in_flight, self._changed = 0, asyncio.Condition()

    @property
    def waits_s(self) -> float:
        """Seconds of the common pause that are left."""
        return max(self._not_before - time.monotonic(), 0.0)

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < max(int(self._limit), 1))
            self._in_flight += 1

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify(2)  # one leaves, and the limit may have grown by one

    def slow_down(self, wait_s: float) -> None:
        """Halve the limit and pause everybody; within one pause it halves once."""
        if self.waits_s == 0:
            self._limit = max(self._limit / 2, 1.0)
        self._not_before = max(self._not_before, time.monotonic() + wait_s)

    def went_well(self) -> None:
        """Let the limit grow by about one per limit's worth of answers."""
        self._limit = min(self._limit + 1 / self._limit, float(self._n_most))
