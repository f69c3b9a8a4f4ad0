"""JSON as it is meant: no NaN, no key twice in one object, and a reason in words for whatever cannot be read."""

from __future__ import annotations

import json
from typing import Any


class Spelled(str):
    """A number or a truth value as it was spelled."""

    __slots__ = ()


def loads(text: str, *, are_numbers_text: bool = False) -> Any:
    """Read JSON text.

    Args:
        text: The JSON.
        are_numbers_text: Keep numbers as they are spelled, so that 1.10 stays 1.10 and digits have no limit.

    Raises:
        ValueError: With the reason; nesting that is too deep and integers that are too long count as invalid.
    """
    keep: Any = Spelled if are_numbers_text else None
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys, parse_int=keep, parse_float=keep)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            shown = key if len(key) <= 60 else f"{key[:57]}…"
            raise ValueError(f"the key {shown!r} stands twice in one object")
        result[key] = value
    return result
