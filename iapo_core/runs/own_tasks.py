"""What may be done with the tasks that people added, and with no others: rename and delete."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from iapo_core.errors import TaskError
from iapo_core.runs.catalogue import data_dir, is_own, task_entry, title_file
from iapo_core.runs.store import Store

MAX_TITLE = 200


def runs_of(store: Store, task_id: str) -> tuple[int, int]:
    """Return how many runs of a task are active, and how many there are besides."""
    found = [run.is_active for run in store.runs(limit=1_000_000) if run.config.task == task_id]
    return sum(found), len(found) - sum(found)


def rename_task(task_id: str, title: str) -> None:
    """Give a task another title. Its files stay as they are, so that its runs stay its runs.

    Raises:
        TaskError: If it is a sample, or the title is blank or too long.
    """
    path = _own_path(task_id, "renamed")
    said = " ".join(title.split())
    if not said or len(said) > MAX_TITLE:
        raise TaskError(f"A title has 1 to {MAX_TITLE} characters, not {len(said)}; write another.")
    title_file(path).write_text(said, encoding="utf-8", errors="replace")


def delete_task(store: Store, task_id: str) -> None:
    """Delete a task. What its finished runs chose stays; its texts are gone.

    Raises:
        TaskError: If it is a sample, or a run of it is active.
    """
    path = _own_path(task_id, "deleted")
    n_active, _ = runs_of(store, task_id)
    if n_active:
        raise TaskError(f"{n_active} run(s) of task {task_id!r} are queued or running, so it was not deleted; cancel them first.")
    with tempfile.TemporaryDirectory(dir=data_dir()) as aside:  # out of the catalogue at once, then away
        path.rename(Path(aside) / path.name)
        title_file(path).unlink(missing_ok=True)
        shutil.rmtree(Path(aside) / path.name, ignore_errors=True)


def _own_path(task_id: str, done: str) -> Path:
    entry = task_entry(task_id)
    if not is_own(entry):
        raise TaskError(f"Task {task_id!r} is a bundled sample, which cannot be {done}; duplicate it instead.")
    return entry.path
