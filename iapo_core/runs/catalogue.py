"""The tasks at hand: the bundled samples and what people added."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from platformdirs import user_data_path

from iapo_core.environments import RecordedEnvironment, TableEnvironment, load_environment
from iapo_core.environments.synthetic import read_simulation
from iapo_core.environments.table import MAX_TABLE_BYTES
from iapo_core.errors import IapoError, StoreError, TableError, TaskError
from iapo_core.task import Task
from iapo_core.task_file import read_task

_LOG = logging.getLogger(__name__)
_FILES = ("task.json", "simulation.json")
TRY = "try-"  # how the ids of tests on a few queries begin, of their tasks and of their runs
_TRIES = "tries"
_TRY_ID = re.compile(rf"{TRY}[0-9a-f]{{16}}")


@dataclass(frozen=True)
class TaskEntry:
    """One task of the catalogue."""

    id: str
    title: str
    description: str
    origin: str  # recorded, simulated or table
    strategy: str
    n_prompts: int
    n_queries: int
    n_max: int
    path: Path

    @property
    def is_simulated(self) -> bool:
        """True where no model stands behind the completions."""
        return self.origin == "simulated"


def data_dir() -> Path:
    """Return the folder for the database, logs and added tasks: IAPO_DATA_DIR, or the user's data folder.

    Raises:
        StoreError: If it cannot be made.
    """
    path = Path(os.environ["IAPO_DATA_DIR"]) if os.environ.get("IAPO_DATA_DIR") else user_data_path("iapo", appauthor=False)
    path = path.absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The data folder {path} cannot be made ({error.strerror}); set IAPO_DATA_DIR to another.") from error
    return path


def samples_dir() -> Path:
    """Return the bundled sample tasks: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "dashboard" / "sample_tasks"
    return inside if inside.is_dir() else package.parent / "sample_tasks"


def tasks() -> list[TaskEntry]:
    """Return every usable task, samples first; one that is not is left out and logged."""
    found: dict[str, TaskEntry] = {}
    for root in (samples_dir(), data_dir() / "tasks"):
        if not root.is_dir():
            continue
        for place in sorted(root.iterdir()):
            if place.suffix == ".npz" or any((place / name).exists() for name in _FILES):
                try:
                    entry = _entry(place, _stamp(place))
                except IapoError as error:
                    _LOG.warning("a task is left out of the catalogue: %s", error)
                else:
                    found.setdefault(entry.id, _titled(entry))
    order = {"topics": 0, "animals": 1, "explain": 2}
    return sorted(found.values(), key=lambda e: (order.get(e.id, 3), e.id))


def is_own(entry: TaskEntry) -> bool:
    """Return whether somebody added the task, so that it may be renamed and deleted."""
    return entry.path.parent == data_dir() / "tasks"


def title_file(path: Path) -> Path:
    """Return where a task's new title stands; a run is pinned to the other files, which a new title leaves alone."""
    return path / "title.txt" if path.is_dir() else path.with_suffix(".title")


def task_entry(task_id: str) -> TaskEntry:
    """Return a task by its id.

    Raises:
        TaskError: If there is none.
    """
    if _TRY_ID.fullmatch(task_id) and (hidden := data_dir() / _TRIES / task_id).is_dir():
        return _entry(hidden, _stamp(hidden))
    for entry in tasks():
        if entry.id == task_id:
            return entry
    there = ", ".join(e.id for e in tasks()) or "none"
    raise TaskError(f"There is no task {task_id!r}; there are {there}. If there was one, it was deleted.")


def open_environment(task_id: str, seed: int = 0) -> TableEnvironment | RecordedEnvironment:
    """Open a task; the last few are kept in memory.

    Raises:
        IapoError: If it is unknown or cannot be used.
    """
    entry = task_entry(task_id)
    if entry.origin == "live":
        raise TaskError(f"Task {task_id!r} buys its completions from a model; run it with: iapo run {task_id} --budget 300.")
    return _opened(entry.path, seed, _stamp(entry.path))


def task_fingerprint(task_id: str) -> str:
    """Return the SHA-256 of a task's files; a run is pinned to it.

    Raises:
        TaskError: If the task is unknown.
    """
    path = task_entry(task_id).path
    return _digest(path, _stamp(path))


def add_table(name: str, content: bytes) -> str:
    """Check an uploaded `.npz` count table and keep it; returns its task id.

    Raises:
        TableError: If it is malformed; nothing is kept then.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.casefold()).strip("-")[:60]
    if not slug:
        raise TableError(f"{name!r} gives no usable name; rename the file with letters or digits.")
    if len(content) > MAX_TABLE_BYTES:
        raise TableError(f"{name}: {len(content):,} bytes are more than the {MAX_TABLE_BYTES:,} allowed; split the table.")
    digest = hashlib.sha256(content).hexdigest()[:8]
    folder = data_dir() / "tasks"
    folder.mkdir(exist_ok=True)
    final = folder / f"{slug}-{digest}.npz"
    with tempfile.TemporaryDirectory(dir=data_dir()) as aside:  # where the catalogue does not look
        draft = Path(aside) / final.name
        draft.write_bytes(content)
        try:
            load_environment(draft)
        except TableError as error:
            raise TableError(str(error).replace(str(draft), name)) from error
        draft.replace(final)
    return final.stem


def keep_task(task: Task) -> str:
    """Keep a checked task in the data folder; returns its id in the catalogue, which its content makes unique."""
    for entry in tasks():
        if entry.id == task.id and (entry.path / "task.json").is_file() and read_task(entry.path).fingerprint == task.fingerprint:
            return entry.id
    kept = task.model_copy(update={"id": f"{task.id[:100]}-{task.fingerprint[:8]}"})
    _write(kept, data_dir() / "tasks" / re.sub(r"[^A-Za-z0-9-]+", "-", kept.id))
    return kept.id


def keep_try(task: Task) -> str:
    """Keep the cut of a task that is tested before any run, where `task_entry` finds it and no list shows it; returns its id."""
    kept = task.model_copy(update={"id": f"{TRY}{task.fingerprint[:16]}"})
    _write(kept, data_dir() / _TRIES / kept.id)
    return kept.id


def _write(task: Task, folder: Path) -> None:
    """Write a task's folder, whole or not at all; one that is there has the same content."""
    if folder.exists():
        return
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir()) as aside:
        draft = Path(aside) / folder.name
        draft.mkdir()
        (draft / "task.json").write_text(task.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
        try:
            draft.rename(folder)
        except OSError:  # another tab was faster
            if not (folder / "task.json").exists():
                raise


def _titled(entry: TaskEntry) -> TaskEntry:
    try:
        return replace(entry, title=title_file(entry.path).read_text(encoding="utf-8"))
    except OSError:
        return entry


def _stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a task's files change."""
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in (".json", ".parquet"))
    return tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files)


@cache
def _entry(path: Path, stamp: tuple[tuple[str, int, int], ...]) -> TaskEntry:
    if path.suffix == ".npz":
        table = load_environment(path)
        n_queries = len(table.split.train) + len(table.split.heldout)
        origin = "simulated" if table.is_simulated else "table"
        shape = (len(table.candidates), n_queries, table.n_max)
        return TaskEntry(path.stem, path.stem, "A count table of answers.", origin, table.strategy, *shape, path)
    if (path / "simulation.json").exists():
        recipe = read_simulation(path / "simulation.json")
        strategy = "majority_vote" if recipe.generator == "bernoulli" else "best_of_n"
        shape = (recipe.n_prompts, recipe.n_queries, recipe.n_max)
        return TaskEntry(recipe.id, recipe.title, recipe.description, "simulated", strategy, *shape, path)
    task = read_task(path)
    shape = (len(task.candidates), len(task.queries), task.n_max)
    return TaskEntry(task.id, task.title, task.description, task.origin, task.strategy, *shape, path)


@lru_cache(maxsize=8)
def _opened(path: Path, seed: int, stamp: tuple[tuple[str, int, int], ...]) -> TableEnvironment | RecordedEnvironment:
    return load_environment(path, seed=seed)


@lru_cache(maxsize=64)
def _digest(path: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in stamp:
        content = (path if path.is_file() else path / name).read_bytes()
        digest.update(f"{name}:{len(content)}\n".encode() + content)
    return digest.hexdigest()
