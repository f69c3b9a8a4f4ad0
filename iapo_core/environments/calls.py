"""One completion from one model: a single request with a deadline, and our own retries where nothing can have been billed.

LiteLLM and the OpenAI client repeat failed requests by themselves, billed ones too; both are told not to.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from iapo_core.environments.endpoints import Endpoint
from iapo_core.environments.live import Answer, LiveSettings
from iapo_core.environments.prices import imported_litellm
from iapo_core.environments.redact import redact, storable
from iapo_core.environments.retry import FIRST_WAIT_S, LONGEST_WAIT_S, Fault, classify
from iapo_core.environments.throttle import Throttle
from iapo_core.task import DecodingConfig

MAX_ANSWER_BYTES = 8 * 1024 * 1024
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
        self._key = key
        self._client: Any = None
        self._stopping = asyncio.Event()

    async def complete(self, messages: Sequence[dict[str, str]], worst_usd: float) -> Answer:
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
        if self._client is not None:
            await self._client.close()

    async def _take_place(self, messages: Sequence[dict[str, str]]) -> None:
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

    def _most_tokens(self, messages: Sequence[dict[str, str]]) -> int:
        return sum(len(m["content"]) for m in messages) // 4 + 1 + self.decoding.max_tokens

    def _wait_s(self, fault: Fault, attempt: int) -> float:
        if fault.retry_after_s is not None:
            return fault.retry_after_s + float(self._rng.uniform(0, 0.1))
        longest = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
        return float(self._rng.uniform(0, longest))  # full jitter

    async def _request(self, messages: Sequence[dict[str, str]], worst_usd: float) -> Answer:
        litellm = imported_litellm()
        arguments: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [dict(m) for m in messages],
            "temperature": self.decoding.temperature,
            "max_tokens": self.decoding.max_tokens,
            "max_retries": 0,
            "num_retries": 0,
            "timeout": self.settings.deadline_s,
        }
        if self.decoding.top_p < 1:
            arguments["top_p"] = self.decoding.top_p
        if self._key is not None:
            arguments["api_key"] = self._key
        if self.endpoint.api_base is not None:
            arguments["api_base"] = self.endpoint.api_base
        if self.endpoint.is_plain:
            arguments["client"] = self._own_client()
        began = time.monotonic()
        try:
            response = await asyncio.wait_for(litellm.acompletion(**arguments), self.settings.deadline_s)
        except Exception as error:
            fault = classify(error)
            raise CallFailedError(Fault(fault.kind, self._clean(fault.words), fault.retry_after_s, fault.is_rate_limit)) from None
        return self._read(response, messages, worst_usd, time.monotonic() - began)

    def _own_client(self) -> Any:
        """Return a client for the user's address: no redirects, no repeats, no endless or packed bodies."""
        if self._client is None:
            import openai

            self._client = openai.AsyncOpenAI(
                api_key=self._key, base_url=self.endpoint.api_base, max_retries=0, http_client=_careful_http(self.settings)
            )
        return self._client

    def _read(self, response: Any, messages: Sequence[dict[str, str]], worst_usd: float, latency_s: float) -> Answer:
        choices = getattr(response, "choices", None) or []
        if not choices:
            raise CallFailedError(Fault("failed", "the answer holds no completion; it was billed"))
        choice = choices[0]
        content = getattr(choice.message, "content", None)
        reason = str(choice.finish_reason) if choice.finish_reason else None
        text = storable(content[:MAX_TEXT]) if isinstance(content, str) else ""
        error = None if text else f"the model answered nothing (finish reason {reason or 'not given'})"
        usage = getattr(response, "usage", None)
        n_prompt, n_completion = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
        is_counted = n_prompt is not None and n_completion is not None and n_prompt > 0
        if not is_counted:  # four bytes a token for the cost in tokens; the dollars stay at the most it can have cost
            n_prompt, n_completion = sum(len(m["content"].encode()) for m in messages) // 4 + 1, len(text.encode()) // 4 + 1
        usd = self.endpoint.price.usd(n_prompt or 0, n_completion or 0) if is_counted else worst_usd
        return Answer(
            text=text,
            finish_reason=reason and reason[:40],
            prompt_tokens=n_prompt or 0,
            completion_tokens=n_completion or 0,
            usd=usd if self.endpoint.price.is_known else math.nan,
            latency_s=round(latency_s, 4),
            served_model=self._clean(str(getattr(response, "model", "") or ""))[:200] or None,
            error=error,
            is_counted=is_counted,
        )

    def _clean(self, text: str) -> str:
        return storable(redact(text, [self._key] if self._key else []))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def _careful_http(settings: LiveSettings) -> Any:
    import httpx

    async def check(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.ReadError("a packed body, which was not asked for")
        response.stream = _Limited(response.stream)  # type: ignore[arg-type]

    class _Limited(httpx.AsyncByteStream):
        def __init__(self, inner: httpx.AsyncByteStream) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            n_bytes = 0
            async for block in self._inner:
                n_bytes += len(block)
                if n_bytes > MAX_ANSWER_BYTES:
                    raise httpx.ReadError(f"an answer of more than {MAX_ANSWER_BYTES:,} bytes")
                yield block

        async def aclose(self) -> None:
            await self._inner.aclose()

    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=settings.deadline_s,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency),
        event_hooks={"response": [check]},
    )
