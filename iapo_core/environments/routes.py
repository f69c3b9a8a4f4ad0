"""Two ways to a model: through LiteLLM, which knows every provider, and directly, for addresses that speak OpenAI's protocol.

LiteLLM takes some milliseconds of processor time per call, so it keeps up with a few dozen calls in flight; a plain address is
spoken to directly when there are more. Both send one request, follow no redirect, refuse packed and endless bodies, and
raise what `retry.classify` understands.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Protocol

from iapo_core.environments.endpoints import Endpoint
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.prices import imported_litellm
from iapo_core.environments.retry import StatusError
from iapo_core.task import DecodingConfig

MAX_ANSWER_BYTES = 8 * 1024 * 1024
BEYOND = 16  # calls in flight that LiteLLM keeps up with on a slow processor
PACKED = "a packed body, which was not asked for"
ENDLESS = f"an answer of more than {MAX_ANSWER_BYTES:,} bytes"

Messages = Sequence[dict[str, str]]


class Reply(NamedTuple):
    """What came back, unchecked but for its shape; `n_choices` counts the completions in it, of which the first is taken."""

    n_choices: int
    content: Any
    finish_reason: Any
    prompt_tokens: Any
    completion_tokens: Any
    model: Any


class Route(Protocol):
    """One request at a time, from any number of tasks of one event loop."""

    async def send(self, messages: Messages) -> Reply:
        """Send one request; raises what went wrong."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


def route_to(decoding: DecodingConfig, endpoint: Endpoint, settings: LiveSettings, key: str | None) -> Route:
    """Return the way to an endpoint under these settings."""
    is_direct = settings.route == "direct" or (settings.route == "auto" and settings.concurrency > BEYOND)
    way = Direct if is_direct and endpoint.is_plain else ThroughLiteLlm
    return way(decoding, endpoint, settings, key)


def _parameters(decoding: DecodingConfig) -> dict[str, Any]:
    given: dict[str, Any] = {"temperature": decoding.temperature, "max_tokens": decoding.max_tokens}
    return given | ({"top_p": decoding.top_p} if decoding.top_p < 1 else {})


class Direct:
    """OpenAI's protocol over aiohttp: a tenth of the processor time."""

    def __init__(self, decoding: DecodingConfig, endpoint: Endpoint, settings: LiveSettings, key: str | None) -> None:
        import aiohttp

        self._aiohttp = aiohttp
        self._url = f"{endpoint.api_base}/chat/completions"
        self._body = {"model": endpoint.model.partition("/")[2], **_parameters(decoding)}
        self._settings, self._key = settings, key
        self._session: Any = None

    async def send(self, messages: Messages) -> Reply:
        """Send one request."""
        async with self._opened().post(
            self._url, data=json.dumps({**self._body, "messages": list(messages)}), allow_redirects=False
        ) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise ValueError(PACKED)
            raw = bytearray()
            async for block in response.content.iter_any():
                raw += block
                if len(raw) > MAX_ANSWER_BYTES:
                    raise ValueError(ENDLESS)
            if response.status != 200:
                headers = {name.lower(): value for name, value in response.headers.items()}
                raise StatusError(response.status, headers, raw[:4096].decode("utf-8", "replace"))
        return _parsed(json.loads(raw))

    async def close(self) -> None:
        """Give connections back."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> Any:
        if self._session is None:
            aiohttp = self._aiohttp
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.concurrency),
                timeout=aiohttp.ClientTimeout(total=self._settings.deadline_s),
                headers={
                    "Authorization": f"Bearer {self._key}",
                    "Content-Type": "application/json",
                    "Accept-Encoding": "identity",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


class ThroughLiteLlm:
    """LiteLLM, told not to repeat a request by itself: it would repeat billed ones too.

    What it loads at first use is loaded here: it takes seconds that no call's deadline should have to give.
    """

    def __init__(self, decoding: DecodingConfig, endpoint: Endpoint, settings: LiveSettings, key: str | None) -> None:
        self._litellm = imported_litellm()
        self._arguments: dict[str, Any] = {
            "model": endpoint.model,
            **_parameters(decoding),
            "max_retries": 0,
            "num_retries": 0,
            "timeout": settings.deadline_s,
        }
        if key is not None:
            self._arguments["api_key"] = key
        if endpoint.api_base is not None:
            self._arguments["api_base"] = endpoint.api_base
        self._client = _own_client(endpoint, settings, key) if endpoint.is_plain else None
        if self._client is not None:
            self._arguments["client"] = self._client

    async def send(self, messages: Messages) -> Reply:
        """Send one request."""
        response = await self._litellm.acompletion(messages=[dict(m) for m in messages], **self._arguments)
        choices = getattr(response, "choices", None) or []
        first = choices[0] if choices else None
        usage = getattr(response, "usage", None)
        return Reply(
            len(choices),
            getattr(getattr(first, "message", None), "content", None),
            getattr(first, "finish_reason", None),
            getattr(usage, "prompt_tokens", None),
            getattr(usage, "completion_tokens", None),
            getattr(response, "model", None),
        )

    async def close(self) -> None:
        """Give connections back."""
        if self._client is not None:
            await self._client.close()


def _own_client(endpoint: Endpoint, settings: LiveSettings, key: str | None) -> Any:
    """Return a client for the user's address: no redirects, no repeats, no endless or packed bodies."""
    import openai

    client = openai.AsyncOpenAI(api_key=key, base_url=endpoint.api_base, max_retries=0, http_client=_careful_http(settings))
    _ = client.chat.completions  # loaded at first sight
    return client


def _parsed(body: Any) -> Reply:
    """Read a body of OpenAI's protocol.

    Raises:
        ValueError: If it holds no list of choices.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list):
        raise ValueError("no list of choices")
    first = choices[0] if choices and isinstance(choices[0], dict) else {}
    message, usage = (part if isinstance(part, dict) else {} for part in (first.get("message"), body.get("usage")))
    return Reply(
        len(choices),
        _joined(message.get("content")),
        first.get("finish_reason"),
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        body.get("model"),
    )


def _joined(content: Any) -> Any:
    """Some servers send a text in parts."""
    if not isinstance(content, list):
        return content
    return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _careful_http(settings: LiveSettings) -> Any:
    import httpx

    async def check(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.ReadError(PACKED)
        response.stream = _Limited(response.stream)  # type: ignore[arg-type]

    class _Limited(httpx.AsyncByteStream):
        def __init__(self, inner: httpx.AsyncByteStream) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            n_bytes = 0
            async for block in self._inner:
                n_bytes += len(block)
                if n_bytes > MAX_ANSWER_BYTES:
                    raise httpx.ReadError(ENDLESS)
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
