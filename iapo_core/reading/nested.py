"""JSON, JSONL and YAML data as rows: a list of texts or objects, an object of named ones, or a whole task's part."""

from __future__ import annotations

import json
from typing import Any

from iapo_core import strict_json
from iapo_core.errors import ReadingError
from iapo_core.reading.rows import Gathering, Kind, Sheet

_ALONE = {"prompts": ("template", "prompt", "text", "messages"), "queries": ("fields", "input", "question", "query")}
_TEXT = {"prompts": "template", "queries": "input"}
NESTED_FIELD = "fields."


def read_json(text: str, source: str, kind: Kind) -> Sheet:
    """Read a list of rows, an object of rows by their ids, or an object with a list under "prompts" or "queries".

    Raises:
        ReadingError: If it is not valid JSON, or no such thing.
    """
    try:
        data = strict_json.loads(text, are_numbers_text=True)
    except ValueError as error:
        raise ReadingError(f"{source}: this is not valid JSON ({error}); correct it there.") from error
    return sheet_of(data, source, kind)


def read_jsonl(text: str, source: str, kind: Kind) -> Sheet:
    """Read one row per line; blank lines separate nothing.

    Raises:
        ReadingError: If there are no rows, or too many.
    """
    gathering = Gathering(source, "line")
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = strict_json.loads(line, are_numbers_text=True)
        except ValueError as error:
            gathering.refuse(row, f"this is not valid JSON ({error})", "write one JSON value on each line")
        else:
            _add(gathering, row, item, kind)
    return gathering.sheet()


def sheet_of(data: Any, source: str, kind: Kind) -> Sheet:
    """Return the rows of parsed data.

    Raises:
        ReadingError: If it is neither a list nor an object.
    """
    note = ""
    if isinstance(data, dict):
        if isinstance(data.get(kind), list):
            if others := [key for key in data if key != kind]:
                note = f"Only its {kind} were taken; {len(others)} other parts were left out."
            data = data[kind]
        elif any(key in data for key in _ALONE[kind]):
            data = [data]
        else:
            data = [_named(key, value, kind) for key, value in data.items()]
    if not isinstance(data, list):
        raise ReadingError(f"{source}: {kind} are a list of texts or objects, not {_called(data)}; see sample_tasks/README.md.")
    gathering = Gathering(source, "item")
    for row, item in enumerate(data, start=1):
        _add(gathering, row, item, kind)
    return gathering.sheet(note=note)


def _named(key: str, value: Any, kind: Kind) -> Any:
    """Return an entry of an object of rows with its name as its id."""
    if isinstance(value, dict) and "id" not in value:
        return {"id": key, **value}
    if isinstance(value, list) and kind == "prompts":
        return {"id": key, "messages": value}
    return {"id": key, _TEXT[kind]: value} if isinstance(value, str) else value


def _add(gathering: Gathering, row: int, item: Any, kind: Kind) -> None:
    """Take one item as a row."""
    if isinstance(item, str) and not isinstance(item, strict_json.Spelled):
        gathering.accept(row, {_TEXT[kind]: item})
    elif isinstance(item, list) and kind == "prompts":
        gathering.accept(row, {"messages": item})
    elif not isinstance(item, dict):
        gathering.refuse(row, f"it is {_called(item)}", "write a text, or an object with named parts")
    else:
        nested = item.get("fields") if kind == "queries" else None
        if not isinstance(nested, dict):
            gathering.accept(row, {key: _value(value) for key, value in item.items()})
            return
        fields = {NESTED_FIELD + key: _value(value) for key, value in nested.items()}
        rest = {key: _value(value) for key, value in item.items() if key != "fields"}
        if both := sorted(fields.keys() & rest.keys()):
            gathering.refuse(row, f"{both[0]!r} stands beside the fields and inside them", "keep one of the two")
            return
        gathering.accept(row, rest | fields)


def _value(value: Any) -> Any:
    """Return a value as text where it is a number or a truth value."""
    if isinstance(value, strict_json.Spelled):
        return str(value)
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _called(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", strict_json.Spelled: "a number", bool: "a truth value"}
    return "nothing (null)" if value is None else names.get(type(value), f"a {type(value).__name__}")
