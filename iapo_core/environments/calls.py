"""One completion from one model: a single request with a deadline, and our own retries where nothing can have been billed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import Any

import numpy as np

from iapo_core.environments.endpoints import Endpoint
from iapo_core.environments.live import Answer, LiveSettings
from iapo_core.environments.redact import HIDDEN, redact, storable
from iapo_core.environments.retry import FIRST_WAIT_S, LONGEST_WAIT_S, Fault, classify
from iapo_core.environments.routes import Messages, Reply, route_to
from iapo_core.environments.throttle import Throttle
from iapo_core.task import DecodingConfig

MAX_TEXT = 1_000_000
_MOST_TOKENS = 10_000_000
_UNSENT = Fault("again", "the run was stopped before its turn came")


class CallFailedError(Exception):
    """A call gave no completion; the fault says what that means."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


class Caller:
    """Calls one decoding config's model; made anew for each pull's event loop.

    Args:
        decoding: Model and parameters.
        endpoint: Where it is reached, and its price.
        settings: Concurrency and deadline.
        key: What the endpoint's slot holds.
        throttle: Shared by all callers of the model.
        rng: For the jitter of waits.
    """

    def __init__(
        self,
        decoding: DecodingConfig,
        endpoint: Endpoint,
        settings: LiveSettings,
        key: str | None,
        throttle: Throttle,
        rng: np.random.Generator,
    ) -> None:
        self.decoding, self.endpoint, self.settings, self.throttle, self._rng = decoding, endpoint, settings, throttle, rng
        self.waiting = ""
        self._key, self._route = key, route_to(decoding, endpoint, settings, key)
        self._stopping = asyncio.Event()

    async def complete(self, messages: Messages, worst_usd: float) -> Answer:
        """Buy one completion; tries again only while nothing can have been billed.

        Raises:
            CallFailedError: With the fault of the last try.
        """
        for attempt in range(1, self.settings.n_tries + 1):
            async with self.throttle:
                await self._take_place(messages)
                try:
                    answer = await self._request(messages, worst_usd)
                except CallFailedError as error:
                    fault = error.fault
                    if fault.kind != "again" or attempt == self.settings.n_tries:
                        raise
                    wait_s = self._wait_s(fault, attempt)
                    if fault.is_rate_limit:
                        self.throttle.slow_down(wait_s)
                else:
                    self.throttle.went_well()
                    self.throttle.pace.give_back(self._most_tokens(messages) - answer.prompt_tokens - answer.completion_tokens)
                    return answer
            await self._pause(wait_s, f"{fault.words}, next try in {wait_s:.1f} s")
        raise AssertionError("the last try returns or raises")

    def stop(self) -> None:
        """Send nothing more: calls that wait for their turn end unsent, as if the provider had asked to try again."""
        self._stopping.set()

    async def close(self) -> None:
        """Give connections back."""
        await self._route.close()

    async def _take_place(self, messages: Messages) -> None:
        while (left := self.throttle.waits_s) > 0:
            await self._pause(left, f"it asked for a pause, next call in {left:.1f} s")
        if (wait_s := self.throttle.pace.wait_s(self._most_tokens(messages))) > 0:
            await self._pause(wait_s, f"its rate limit is kept, next call in {wait_s:.1f} s")
        if self._stopping.is_set():
            raise CallFailedError(_UNSENT)
        self.waiting = ""

    async def _pause(self, seconds: float, why: str) -> None:
        self.waiting = f"{self.endpoint.model}: {why}"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
            raise CallFailedError(_UNSENT)

    def _most_tokens(self, messages: Messages) -> int:
        return sum(len(m["content"]) for m in messages) // 4 + 1 + self.decoding.max_tokens

    def _wait_s(self, fault: Fault, attempt: int) -> float:
        if fault.retry_after_s is not None:
            return fault.retry_after_s + float(self._rng.uniform(0, 0.1))
        longest = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
        return float(self._rng.uniform(0, longest))  # full jitter

    async def _request(self, messages: Messages, worst_usd: float) -> Answer:
        began = time.monotonic()
        try:
            reply = await asyncio.wait_for(self._route.send(messages), self.settings.deadline_s)
        except Exception as error:
            fault = classify(error)
            raise CallFailedError(Fault(fault.kind, self._clean(fault.words), fault.retry_after_s, fault.is_rate_limit)) from None
        return self._read(reply, messages, worst_usd, time.monotonic() - began)

    def _read(self, reply: Reply, messages: Messages, worst_usd: float, latency_s: float) -> Answer:
        if not reply.n_choices:
            raise CallFailedError(Fault("failed", "the answer holds no completion; it was billed"))
        reason = str(reply.finish_reason) if reply.finish_reason else None
        text = storable(reply.content[:MAX_TEXT]) if isinstance(reply.content, str) else ""
        text = text.replace(self._key, HIDDEN) if self._key else text  # a server may echo what it was sent
        error = None if text else f"the model answered nothing (finish reason {reason or 'not given'})"
        n_prompt, n_completion = _count(reply.prompt_tokens), _count(reply.completion_tokens)
        is_counted = n_prompt is not None and n_completion is not None and n_prompt > 0
        if not is_counted:  # four bytes a token for the cost in tokens; the dollars stay at the most it can have cost
            n_prompt, n_completion = sum(len(m["content"].encode()) for m in messages) // 4 + 1, len(text.encode()) // 4 + 1
        price = self.endpoint.price
        usd = price.usd(n_prompt or 0, n_completion or 0) if is_counted else worst_usd
        return Answer(
            text=text,
            finish_reason=reason and self._clean(reason)[:40],
            prompt_tokens=n_prompt or 0,
            completion_tokens=n_completion or 0,
            usd=usd if price.is_known else math.nan,
            latency_s=round(latency_s, 4),
            served_model=self._clean(str(reply.model or ""))[:200] or None,
            error=error and self._clean(error),
            is_counted=is_counted,
        )

    def _clean(self, text: str) -> str:
        return storable(redact(text, [self._key] if self._key else []))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None
