"""JSON in completions: found among other words, checked against a schema, and read as an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, Compared, Rated
from iapo_core.scorers.number import spelled
from iapo_core.scorers.schema import Checker
from iapo_core.task import Query

_MAX_STARTS = 100  # places at which JSON may begin
_LONGEST_NUMBER = 300


class JsonSchema(Rated):
    """The completion holds valid JSON that is valid against a JSON Schema (draft 2020-12)."""

    def __init__(
        self,
        schema: Annotated[
            dict[str, Any], 'As in {"type": "object", "required": ["name"]}; references to other files are refused.'
        ],
        score: Annotated[
            Literal["all", "share"], "all: 1 if everything is valid; share: the share of the required fields that are."
        ] = "all",
    ) -> None:
        if not isinstance(schema, dict):
            raise ScorerError(f"`schema` is a JSON object, not {schema!r}.")
        self._checker, self._is_share = Checker(schema), score == "share"

    def score(self, text: str, query: Query) -> float:
        """Return the best score of the JSON objects and arrays in the text, 0 where there is none."""
        judged = self._checker.share if self._is_share else self._checker.is_valid
        return max((float(judged(value)) for value in found(text)), default=0.0)


class JsonField(Compared):
    """The answer is a field of the first JSON object in the completion that has it; it is compared with the gold one."""

    def __init__(
        self, field: Annotated[str, "Its name; dots and numbers lead into objects and lists, as in result.0.label."] = "answer"
    ) -> None:
        self._path = field.split(".")
        if not all(self._path):
            raise ScorerError(f"`field` is a name such as answer or result.0.label, not {field!r}.")

    def read(self, text: str) -> str | None:
        """Return the field's value in one spelling: equal numbers, and texts without case and superfluous space, are equal."""
        for value in found(text):
            for name in self._path:
                if isinstance(value, dict) and name in value:
                    value = value[name]
                elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(value):
                    value = value[int(name[:9])]
                else:
                    break
            else:
                return _spelled(value)
        return None

    def canonical(self, gold: str) -> str | None:
        """Return the gold answer as a field that holds it is spelled."""
        return _spelled(_loads(gold) if gold.strip().startswith(("{", "[")) else gold)


def found(text: str) -> Iterator[Any]:
    """Yield the JSON objects and arrays that stand in a text, in order, not those inside others."""
    part, start = text[:MAX_CHARACTERS], 0
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_float, parse_int=_int)
    for _ in range(_MAX_STARTS):
        starts = [at for opening in "{[" if (at := part.find(opening, start)) >= 0]
        if not starts:
            return
        try:
            value, start = decoder.raw_decode(part, min(starts))
        except (ValueError, RecursionError):
            start = min(starts) + 1
        else:
            yield value


def _loads(text: str) -> Any:
    return next(found(text), text)


def _spelled(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return spelled(Fraction(str(value)))
    if isinstance(value, str):
        plain = " ".join(value.split()).casefold()
        try:
            return spelled(Fraction(plain)) if 0 < len(plain) <= _LONGEST_NUMBER and "e" not in plain else plain or None
        except (ValueError, ZeroDivisionError):
            return plain
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False).casefold()
    except RecursionError:
        return None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(digits: str) -> float:
    value = float(digits)
    return value if abs(value) != float("inf") else _refuse(digits)


def _int(digits: str) -> int:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else _refuse(digits)
