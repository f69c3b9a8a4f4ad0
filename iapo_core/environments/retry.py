"""What an error of a call means: can it have been billed, is it worth another try, does it stop the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

LONGEST_WAIT_S = 60.0
FIRST_WAIT_S = 0.5
_AGAIN = {409: "busy", 429: "rate limited", 500: "a server error", 502: "a bad gateway", 503: "overloaded", 529: "overloaded"}
_STOPS = {
    401: "the key was refused; check the environment variable that holds it",
    402: "the account has no money left; fill it up",
    403: "the key may not use this model; check the account",
    404: "there is no such model at this address; check its name and the base URL",
}
_QUOTA = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)

# again: cannot have been billed, try again. stop: the model cannot be used now. refused: this request is not taken, unbilled.
# failed: it may have been billed, so it counts and is never sent again.
Kind = Literal["again", "stop", "refused", "failed"]


@dataclass(frozen=True)
class Fault:
    """An error in words."""

    kind: Kind
    words: str
    retry_after_s: float | None = None
    is_rate_limit: bool = False


class StatusError(Exception):
    """A status other than 200 that the server itself sent."""

    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        super().__init__(f"status {status}")
        self.status, self.headers, self.body = status, headers, body


def classify(error: BaseException) -> Fault:
    """Say what an exception of a call means. Only a status that the provider itself sent can prove that nothing was billed."""
    if isinstance(error, StatusError):
        return _of_status(error.status, error.headers, error.body)
    genuine = [link for link in _chain(error) if not type(link).__module__.startswith("litellm")]  # its own make statuses up
    for link in genuine:
        response = getattr(link, "response", None)
        if _is_a(link, "openai.APIStatusError", "httpx.HTTPStatusError") and response is not None:
            return _of_status(int(response.status_code), dict(response.headers), str(link))
        if _is_a(link, "httpx.ConnectError", "httpx.ConnectTimeout", "httpx.PoolTimeout", "aiohttp.ClientConnectorError"):
            return Fault("again", "no connection to the model's address")
    for link in genuine:
        if _is_a(link, "builtins.TimeoutError", "httpx.TimeoutException", "openai.APITimeoutError"):
            return Fault("failed", "no answer within the deadline; it may have been billed")
        if _is_a(link, "httpx.TransportError", "openai.APIConnectionError", "aiohttp.ClientError", "builtins.ConnectionError"):
            return Fault("failed", "the connection broke before the answer was complete; it may have been billed")
    status = getattr(error, "status_code", None)
    if type(error).__name__ == "UnsupportedParamsError":  # LiteLLM's own, before anything is sent
        return Fault("stop", "it does not take one of the decoding parameters; change temperature, top_p or max_tokens")
    if isinstance(status, int) and (status in _STOPS or status == 429):  # statuses that no broken connection is given
        return _of_status(status, dict(getattr(getattr(error, "response", None), "headers", {})), str(error))
    return Fault("failed", "the answer cannot be read; it may have been billed")


def _of_status(status: int, headers: dict[str, str], text: str) -> Fault:
    if status in _STOPS:
        return Fault("stop", _STOPS[status])
    if status == 429 and _QUOTA.search(text):
        return Fault("stop", "the account's quota is used up; fill it up or wait for the next period")
    if status in _AGAIN:
        wait = retry_after_s(headers.get("retry-after"), datetime.now(UTC))
        if wait is not None and wait > LONGEST_WAIT_S:
            return Fault("stop", f"it asks to wait for {wait:,.0f} s; resume after that")
        return Fault("again", f"{_AGAIN[status]} (status {status})", wait, is_rate_limit=status == 429)
    if 300 <= status < 400:
        return Fault("stop", f"the address sends calls elsewhere (status {status}), which is not followed; give the final one")
    if 400 <= status < 500 and status != 408:
        return Fault("refused", f"the model's server refused the request (status {status})")
    if 200 <= status < 300:
        return Fault("failed", "the answer cannot be read; it may have been billed")
    return Fault("failed", f"the server gave up (status {status}); it may have been billed")


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, seconds or a date; None where it says nothing usable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, TypeError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(seconds, 0.0) if seconds == seconds else None


def _is_a(error: BaseException, *names: str) -> bool:
    """Look for classes by package and name: importing those packages takes seconds, and other calls' deadlines run."""
    return any(f"{cls.__module__.partition('.')[0]}.{cls.__name__}" in names for cls in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
