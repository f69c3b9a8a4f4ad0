"""Where a model is reached and what it costs: the values that tasks and runs give alike, checked at the door."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field


def is_loopback(host: str) -> bool:
    """Return whether a host name is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or parts.query:
        raise ValueError("the base URL is an http(s) address such as https://host/v1, without a key or a question mark in it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("the base URL of another machine must begin with https, or keys and prompts travel in the clear")
    return value.rstrip("/")


def whole_price(prompt: float | None, completion: float | None) -> None:
    """Check that a price has both of its parts or none.

    Raises:
        ValueError: If one is missing.
    """
    if (prompt is None) != (completion is None):
        raise ValueError("a price has two parts, per million prompt tokens and per million completion tokens; give both")


BaseUrl = Annotated[str, Field(max_length=500), AfterValidator(_base_url)]
Money = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
