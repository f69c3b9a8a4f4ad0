"""Tasks that are still being written: plain dicts in the shape of a task file, one JSON file each in the data folder.

A draft may be wrong in any way but its shape; `check` says what keeps it from being a task.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iapo_core.environments.local_model import MODEL
from iapo_core.errors import IapoError, StoreError, TaskError
from iapo_core.runs.catalogue import data_dir
from iapo_core.runs.local_server import NAME
from iapo_core.scorers.checks import objective_problems
from iapo_core.task import Task
from iapo_core.task_file import problems

Draft = dict[str, Any]
LOCAL_MODEL = NAME
_RECORDED_MODEL = f"openai/{MODEL}"  # as recordings of the local model name it
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class DraftEntry:
    """A draft in the list of drafts; `changed_at` is in seconds since the epoch."""

    id: str
    title: str
    n_prompts: int
    n_queries: int
    changed_at: float


def empty() -> Draft:
    """Return a draft that lacks a title, prompts and queries, and is set up for the rest."""
    contexts = (("free", "quality only", 0.0), ("thrifty", "cost matters a little", 0.2), ("dear", "cost matters", 1.0))
    return {
        "schema": 1,
        "id": "task",
        "title": "",
        "description": "",
        "origin": "live",
        "strategy": "majority_vote",
        "n_max": 8,
        "objectives": [
            {"id": "correct", "title": "Correct answer", "scorer": "exact", "params": {}, "range": [0.0, 1.0]},
        ],
        "cost": {
            "unit": "1000 completion tokens",
            "per_prompt_token": 0.0001,
            "per_completion_token": 0.001,
            "per_usd": 0.0,
            "per_second": 0.0,
        },
        "contexts": [{"id": i, "title": t, "weights": {"correct": 1.0}, "cost_weight": w} for i, t, w in contexts],
        "decoding": [{"id": "local", "model": LOCAL_MODEL, "temperature": 1.0, "top_p": 1.0, "max_tokens": 32}],
        "prompts": [],
        "queries": [],
        "excluded": [],
    }


def of_task(task: Task, title: str | None = None) -> Draft:
    """Return a task as a draft: it buys its completions anew, whatever it was; the samples', from the local model again."""
    draft = task.model_dump(mode="json", by_alias=True, exclude={"recording"})
    draft["decoding"] = [{key: value for key, value in row.items() if value is not None} for row in draft["decoding"]]
    for row in draft["decoding"]:
        if row["model"] == _RECORDED_MODEL and "api_base" not in row:
            row["model"] = LOCAL_MODEL
    draft["queries"] = [{key: value for key, value in row.items() if value is not None} for row in draft["queries"]]
    return draft | {"origin": "live", "title": task.title if title is None else title}


def check(draft: Draft) -> tuple[Task | None, list[str]]:
    """Return the task that a draft is, or everything that keeps it from being one: a sentence each, with its place.

    Objectives are looked at whatever else is wrong, unless their own rows are: so that to-dos do not come in stages.
    """
    named = draft | {"id": slug(str(draft.get("title", ""))), "origin": "live"}
    task, found = None, []
    try:
        task = Task.model_validate(named)
    except ValidationError as error:
        found = problems(error)
    if not any(line.startswith("objectives") for line in found):
        found += objective_problems(draft)
        found += _weightless(draft)
    found += _misdirected(draft)
    return (None, found) if found else (task, [])


def _weightless(draft: Draft) -> list[str]:
    """Name the contexts whose weights are all 0: a run would look at nothing but the cost there."""
    return [
        f"contexts row {row} ({context.get('id')!r}) gives every objective the weight 0, so only cost would count; give at least "
        "one of them a weight above 0."
        for row, context in enumerate(draft["contexts"], start=1)
        if context.get("weights") and all(weight == 0 for weight in context["weights"].values())
    ]


def _misdirected(draft: Draft) -> list[str]:
    """Name the configs that give the local model an address, which would be ignored."""
    return [
        f"decoding row {row} ({config.get('id')!r}): the local model brings its own address; clear the Base URL."
        for row, config in enumerate(draft["decoding"], start=1)
        if config.get("model") == LOCAL_MODEL and config.get("api_base")
    ]


def slug(title: str) -> str:
    """Return an id made from a title."""
    return re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:60] or "task"


def keep(draft: Draft, draft_id: str | None = None) -> str:
    """Write a draft; returns its id, a new one unless given. A reader sees the old or the new one, never half of it.

    Raises:
        StoreError: If the data folder cannot be written.
    """
    chosen = draft_id or secrets.token_hex(6)
    path = _path(chosen)
    try:
        path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="ascii") as aside:
            json.dump(draft, aside)  # ASCII spells whatever was typed
        os.replace(aside.name, path)
    except OSError as error:
        raise StoreError(f"The draft cannot be kept in {path.parent} ({error.strerror}); free some space or move it.") from error
    return chosen


def load(draft_id: str) -> Draft:
    """Return a draft.

    Raises:
        TaskError: If there is none of this id.
    """
    try:
        return dict(json.loads(_path(draft_id).read_text(encoding="ascii")))
    except (OSError, ValueError) as error:
        raise TaskError(f"There is no draft {draft_id!r} here; it may have been saved as a task or discarded.") from error


def discard(draft_id: str) -> None:
    """Forget a draft; one that is gone is gone."""
    _path(draft_id).unlink(missing_ok=True)


def entries() -> list[DraftEntry]:
    """Return every draft, the last one changed first."""
    found = []
    for path in (data_dir() / "drafts").glob("*.json"):
        try:
            draft, changed_at = load(path.stem), path.stat().st_mtime
        except (IapoError, OSError):
            continue  # another tab has just discarded it
        found.append(DraftEntry(path.stem, str(draft["title"]), len(draft["prompts"]), len(draft["queries"]), changed_at))
    return sorted(found, key=lambda entry: -entry.changed_at)


def _path(draft_id: str) -> Path:
    if not _ID.fullmatch(draft_id):
        raise TaskError(f"There is no draft {draft_id[:40]!r} here; a draft's id is twelve hexadecimal digits.")
    return data_dir() / "drafts" / f"{draft_id}.json"
