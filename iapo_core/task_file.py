"""Reading a task from its JSON file: everything that is wrong with it is one line with its place and the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iapo_core import strict_json
from iapo_core.errors import TaskError
from iapo_core.task import Task

MAX_TASK_BYTES = 10 * 1024 * 1024
MAX_PROBLEMS = 20
_PATTERN = "begin with a letter or digit and go on with letters, digits, spaces and . _ : / + @ - only, 120 at most"


def parse_task(text: str | bytes, *, source: str = "task") -> Task:
    """Read a task from JSON text.

    Raises:
        TaskError: With the place and the remedy, one line per problem.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_TASK_BYTES:
        raise TaskError(f"{source}: {len(raw):,} bytes are more than the {MAX_TASK_BYTES:,} that a task may have; split it.")
    try:
        data = strict_json.loads(raw.decode("utf-8-sig"))
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise TaskError(f"{source}: this is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8.") from error
    except UnicodeEncodeError as error:  # JSON can spell it, but no file, database or model takes it
        before = error.object[max(error.start - 20, 0) : error.start]
        raise TaskError(f"{source}: after {before!r} stands half of a surrogate pair; write the whole character.") from error
    except ValueError as error:
        raise TaskError(f"{source}: this is not valid JSON ({error}); correct it or export the task again.") from error
    if not isinstance(data, dict):
        raise TaskError(f"{source}: a task is one JSON object, not a {type(data).__name__}; see sample_tasks/README.md.")
    try:
        return Task.model_validate(data)
    except ValidationError as error:
        raise TaskError("\n".join(f"{source}: {line}" for line in problems(error))) from error


def read_task(path: Path) -> Task:
    """Read `task.json`, or the folder that holds it.

    Raises:
        TaskError: If there is no such file, or it holds no usable task.
    """
    file = path / "task.json" if path.is_dir() else path
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise TaskError(f"{file}: cannot be read ({error.strerror}); give a task folder or its task.json.") from error
    return parse_task(raw, source=str(file))


def problems(error: ValidationError) -> list[str]:
    """Turn each of pydantic's findings into one sentence with its place."""
    lines: list[str] = []
    for loc, message in findings(error):
        place = " ".join(f"row {part + 1}" if isinstance(part, int) else str(part) for part in loc)
        lines.append(f"{place + ': ' if place else ''}{message}{'' if message.endswith('?') else '.'}")
    return lines[:MAX_PROBLEMS] + [f"and {len(lines) - MAX_PROBLEMS} more problems."] * (len(lines) > MAX_PROBLEMS)


def findings(error: ValidationError) -> list[tuple[tuple[int | str, ...], str]]:
    """Return where each of pydantic's findings is and what it says; one that lists several things is several."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    items = error.errors(include_url=False)
    is_without_objectives = any(item["type"] == "too_short" and item["loc"] == ("objectives",) for item in items)
    broken = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        loc, given = item["loc"], item.get("input")
        if item["type"] == "too_short" and loc in broken:  # its rows are there; what is wrong with them is said anyway
            continue
        if is_without_objectives and item["type"] == "too_short" and loc[:1] + loc[2:] == ("contexts", "weights"):
            continue  # it weighs nothing because there is nothing to weigh
        if plain := _plain(item["type"], item.get("ctx", {})):
            found.append((loc, plain))
            continue
        if item["type"] == "string_pattern_mismatch" and loc[-1:] == ("api_key_env",):  # what was given may be a key: unsaid
            found.append((loc, "give the name of an environment variable, such as MY_KEY, never the key itself"))
            continue
        shown = f" (got {_shown(given)})" if item["type"] != "value_error" and not isinstance(given, dict) else ""
        message = _PATTERN if item["type"] == "string_pattern_mismatch" else item["msg"].removeprefix("Value error, ")
        found += [(loc, line + shown) for line in message.split("\n")]
    return found


def _plain(kind: str, limits: Mapping[str, Any]) -> str | None:
    """Return what is missing, or one too many, in words; None for what is wrong in another way."""
    if kind == "too_short":
        least, n = limits["min_length"], limits["actual_length"]
        return (
            "there is none; add at least one"
            if (n, least) == (0, 1)
            else f"there {'is' if n == 1 else 'are'} {n}; give at least {least}"
        )
    if kind == "string_too_short":
        return f"this is too short; write at least {limits['min_length']} character{'s' * (limits['min_length'] > 1)}"
    return {
        "missing": "this is missing; add it",
        "extra_forbidden": "a task has no field of this name; correct the name or remove it",
    }.get(kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}… of {len(text):,} characters"
