"""One completion from one model: a single request with a deadline, and our own retries where nothing can have been billed.

LiteLLM and the OpenAI client repeat failed requests by themselves, billed ones too; both are told not to.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from iapo_core.environments.live import Answer, LiveSettings
from iapo_core.environments.prices import Price, imported_litellm
from iapo_core.environments.redact import redact, storable
from iapo_core.environments.retry import FIRST_WAIT_S, LONGEST_WAIT_S, Fault, classify
from iapo_core.environments.throttle import Throttle
from iapo_core.errors import LiveError
from iapo_core.task import DecodingConfig

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_TEXT = 1_000_000
_MOST_TOKENS = 10_000_000
_NO_KEY = "no-key-was-given"  # anything but empty: an empty key makes LiteLLM send the operator's own


class CallFailedError(Exception):
    """A call gave no completion; the fault says what that means."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


class Caller:
    """Calls one decoding config's model; made anew for each pull's event loop.

    Args:
        decoding: Model and parameters.
        settings: Concurrency, deadline, address, name of the key's variable.
        price: For the dollars of an answer.
        key: A key handed over in memory; else the variable named in the settings.
        rng: For the jitter of waits.
    """

    def __init__(
        self, decoding: DecodingConfig, settings: LiveSettings, price: Price, key: str | None, rng: np.random.Generator
    ) -> None:
        self.decoding, self.settings, self.price, self._rng = decoding, settings, price, rng
        self.throttle = Throttle(settings.concurrency)
        self.waiting = ""
        self._key = key_for(settings, key)
        self._client: Any = None

    async def complete(self, messages: Sequence[dict[str, str]], worst_usd: float) -> Answer:
        """Buy one completion; tries again only while nothing can have been billed.

        Raises:
            CallFailedError: With the fault of the last try.
        """
        for attempt in range(1, self.settings.n_tries + 1):
            async with self.throttle:
                self.waiting = ""
                try:
                    answer = await self._request(messages, worst_usd)
                except CallFailedError as error:
                    fault = error.fault
                    if fault.kind != "again" or attempt == self.settings.n_tries:
                        raise
                    wait_s = self._wait_s(fault, attempt)
                    if fault.is_rate_limit:
                        self.throttle.slow_down(wait_s)
                    self.waiting = f"{self.decoding.model}: {fault.words}, next try in {wait_s:.1f} s"
                else:
                    self.throttle.went_well()
                    return answer
            await asyncio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Give connections back."""
        if self._client is not None:
            await self._client.close()

    def _wait_s(self, fault: Fault, attempt: int) -> float:
        if fault.retry_after_s is not None:
            return fault.retry_after_s + float(self._rng.uniform(0, 0.1))
        longest = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
        return float(self._rng.uniform(0, longest))  # full jitter

    async def _request(self, messages: Sequence[dict[str, str]], worst_usd: float) -> Answer:
        litellm = imported_litellm()
        arguments: dict[str, Any] = {
            "model": self.decoding.model,
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
        if self.settings.api_base is not None:
            arguments["api_base"] = self.settings.api_base
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
                api_key=self._key, base_url=self.settings.api_base, max_retries=0, http_client=_careful_http(self.settings)
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
        usd = self.price.usd(n_prompt or 0, n_completion or 0) if is_counted else worst_usd
        return Answer(
            text=text,
            finish_reason=reason and reason[:40],
            prompt_tokens=n_prompt or 0,
            completion_tokens=n_completion or 0,
            usd=usd if self.price.is_known else math.nan,
            latency_s=round(latency_s, 4),
            served_model=self._clean(str(getattr(response, "model", "") or ""))[:200] or None,
            error=error,
            is_counted=is_counted,
        )

    def _clean(self, text: str) -> str:
        return storable(redact(text, [self._key] if self._key else []))


def key_for(settings: LiveSettings, key: str | None) -> str | None:
    """Return the key to send; None lets LiteLLM look up the provider's own variable, which only happens at its own address.

    Raises:
        LiveError: If the named variable is not set.
    """
    if key:
        return key
    if settings.api_key_env is not None:
        value = os.environ.get(settings.api_key_env, "").strip()
        if not value:
            raise LiveError(f"The environment variable {settings.api_key_env} is not set; it should hold the key for the model.")
        return value
    return _NO_KEY if settings.api_base is not None else None


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
