"""Algorithms by their spelling: `psst`, or with options `psst-eb[depth=8,paired=false]`; any registered option is understood."""

from __future__ import annotations

import re
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from iapo_core.errors import BenchError
from iapo_core.optimize import ALGORITHMS

ORACLE = "oracle"
_GIVEN = {"grid", "environment", "budget", "rng"}
_SPELLING = re.compile(r"(?P<name>[a-z0-9-]+)(?:\[(?P<options>[^\[\]]*)\])?")


class Spelled(NamedTuple):
    """An algorithm with its options."""

    label: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()


def split_list(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    return [part for raw in re.split(r",(?![^\[]*\])", text) if (part := raw.strip())]


def algorithms(text: str) -> tuple[Spelled, ...]:
    """Read a comma-separated list.

    Raises:
        BenchError: If one is unknown, has an unknown option or a value that does not fit, or occurs twice.
    """
    found = tuple(_one(part) for part in split_list(text))
    if not found:
        raise BenchError(f"No algorithm was named; choose from {', '.join([*ALGORITHMS, ORACLE])}.")
    labels = [spelled.label for spelled in found]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise BenchError(f"{twice!r} was named twice; name each algorithm once.")
    return found


def _one(text: str) -> Spelled:
    match = _SPELLING.fullmatch(text)
    if match is None or match["name"] not in {*ALGORITHMS, ORACLE}:
        raise BenchError(f"There is no algorithm {text!r}; choose from {', '.join([*ALGORITHMS, ORACLE])}, as in psst-topk[k=8].")
    name = match["name"]
    if not match["options"]:
        return Spelled(name, name)
    if name == ORACLE:
        raise BenchError("The oracle takes no options; write it without brackets.")
    hints = get_type_hints(ALGORITHMS[name])
    known = [option for option in signature(ALGORITHMS[name]).parameters if option not in _GIVEN]
    options: dict[str, Any] = {}
    for part in match["options"].split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in known or not equals:
            raise BenchError(f"{text!r}: {name} takes {', '.join(known) or 'no options'}, spelled NAME=VALUE, not {part!r}.")
        options[key] = _typed(text, key, value, hints.get(key, str))
    ordered = tuple(sorted(options.items()))
    return Spelled(f"{name}[{','.join(f'{key}={_shown(value)}' for key, value in ordered)}]", name, ordered)


def _typed(text: str, key: str, value: str, hint: Any) -> Any:
    """Turn a value into what the option's annotation asks for."""
    hint = getattr(hint, "__value__", hint)
    kinds = get_args(hint) if isinstance(hint, UnionType) or str(get_origin(hint)) == "typing.Union" else (hint,)
    for kind in kinds:
        if kind is NoneType and value.lower() == "none":
            return None
        if kind is bool and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if get_origin(kind) is Literal and value in map(str, get_args(kind)):
            return next(choice for choice in get_args(kind) if str(choice) == value)
        if kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
        if kind is str:
            return value
    wanted = " or ".join(_in_words(kind) for kind in kinds)
    raise BenchError(f"{text!r}: {key} is {wanted}, not {value!r}.")


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return {int: "a whole number", float: "a number", bool: "true or false", NoneType: "none"}.get(kind, "something else")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
