"""Keys never leave: every word that is stored, logged or shown passes here first."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable

HIDDEN = "[key hidden]"
_SHAPES = re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|AIza|AKIA)[-_A-Za-z0-9]{12,}|(?<=Bearer )[^\s\"',}]{6,}|(?<=key=)[^\s&\"']{6,}")

_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Hide the given keys wherever they stand, and whatever looks like a key."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


def storable(text: str) -> str:
    """Replace what no database stores: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def environment_secrets() -> list[str]:
    """Return the values of the environment's variables that are named like secrets."""
    return [value for name, value in os.environ.items() if _NAMES.search(name) and len(value) >= 8]


class RedactingFormatter(logging.Formatter):
    """Formats log lines, tracebacks included, with keys hidden."""

    def __init__(self, fmt: str, secrets: Iterable[str] = ()) -> None:
        super().__init__(fmt)
        self._secrets = list(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return redact(super().format(record), self._secrets)
