"""Checking values against a JSON Schema, whatever the schema and the values hold.

Some keywords are changed, because their usual implementation takes more than linear time on what a model may write, or opens
other addresses: patterns are searched by RE2, uniqueness is decided by spelling, and references stay inside the schema and are
followed so many times only (a schema that refers to itself in two branches takes time exponential in the depth of a value).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jsonschema
import referencing

from iapo_core.errors import ScorerError
from iapo_core.scorers.regex import compiled

_PROBES: tuple[Any, ...] = ({}, [], "", 0, None)
_MAX_FOLLOWED = 2_000  # references in one value
_FOLLOWED: ContextVar[Counter[str]] = ContextVar("followed")


class _TooMuchError(Exception):
    """A value takes too long to be checked."""


_FAILED = (_TooMuchError, RecursionError, ArithmeticError, referencing.exceptions.Unresolvable)


class Checker:
    """A schema, ready to check values."""

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
            for key, value in _walk(schema):
                if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                    raise ScorerError(f"`schema` refers to {value!r}; copy that part into it, nothing is fetched.")
                if key == "patternProperties":
                    raise ScorerError("`schema` uses patternProperties, whose search has no time limit; name the properties.")
                if key == "pattern" and isinstance(value, str):
                    compiled(value)
            self._schema, self._validator = schema, _VALIDATOR(schema, registry=referencing.Registry())
            _FOLLOWED.set(Counter())
            for probe in _PROBES:
                self._validator.is_valid(probe)
        except jsonschema.SchemaError as error:
            place = "/".join(map(str, error.absolute_path)) or "its top"
            raise ScorerError(f"`schema` is no JSON Schema: {error.message[:200]} (at {place}).") from error
        except _FAILED as error:
            raise ScorerError(f"`schema` refers to itself or to what is not there ({str(error)[:120]}); correct $ref.") from error

    def is_valid(self, value: Any) -> bool:
        """Return whether a value is valid; what is too deep or too large to be checked is not."""
        return _is_valid(self._validator, value)

    def share(self, value: Any) -> float:
        """Return the share of the required fields (of all named ones where none is required) that are there and valid.

        A schema without named fields is all or nothing.
        """
        fields = self._schema.get("properties", {})
        wanted = self._schema.get("required") or list(fields)
        if not wanted:
            return float(self.is_valid(value))
        if not isinstance(value, dict):
            return 0.0
        checks = [
            name in value and _is_valid(self._validator.evolve(schema=fields.get(name, True)), value[name]) for name in wanted
        ]
        return sum(checks) / len(checks)


def _is_valid(validator: Any, value: Any) -> bool:
    _FOLLOWED.set(Counter())
    try:
        return bool(validator.is_valid(value))
    except _FAILED:
        return False


def _walk(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _walk(value)


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, str) and not compiled(pattern).search(instance.encode("utf-8", "replace").decode("utf-8")):
        yield jsonschema.ValidationError("does not match the pattern")


def _unique(_validator: Any, is_wanted: bool, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    if is_wanted and isinstance(instance, list):
        spelled = [json.dumps(item, sort_keys=True) for item in instance]
        if len(set(spelled)) < len(spelled):
            yield jsonschema.ValidationError("holds an item twice")


def _counted(keyword: str) -> Any:
    follow = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, reference: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
        counter = _FOLLOWED.get()
        counter[keyword] += 1
        if counter[keyword] > _MAX_FOLLOWED:
            raise _TooMuchError
        yield from follow(validator, reference, instance, schema) or ()

    return check


_VALIDATOR = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _pattern, "uniqueItems": _unique, "$ref": _counted("$ref"), "$dynamicRef": _counted("$dynamicRef")},
)
