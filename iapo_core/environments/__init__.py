"""Environments by path: count tables, recorded tasks and simulations."""

from __future__ import annotations

from pathlib import Path

from iapo_core.environments.recorded import RecordedEnvironment, load_recording
from iapo_core.environments.synthetic import read_simulation, simulate
from iapo_core.environments.table import TableEnvironment, load_table
from iapo_core.errors import TaskError
from iapo_core.task_file import read_task

__all__ = ["RecordedEnvironment", "TableEnvironment", "load_environment"]


def load_environment(path: str | Path, seed: int = 0) -> TableEnvironment | RecordedEnvironment:
    """Open what stands at a path; `seed` splits its queries 80/20 into training and held-out ones.

    Args:
        path: A `.npz` count table, a task folder or its `task.json`, or a `simulation.json`.
        seed: Seed of the split, a whole number of at least 0.

    Raises:
        TaskError: If there is nothing usable.
        TableError: If a count table is malformed.
        RecordingError: If a recording does not fit its task.
    """
    place = Path(path)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise TaskError(f"The seed is a whole number of at least 0, not {seed!r}.")
    if place.suffix == ".npz":
        return load_table(place, seed=seed)
    folder = place if place.is_dir() else place.parent
    recipe = folder / "simulation.json"
    if place == recipe or (place.is_dir() and recipe.exists()):
        return simulate(read_simulation(recipe), seed=seed)
    if not place.exists():
        raise TaskError(f"{place}: there is no such file or folder; give a .npz table, a task folder or its task.json.")
    return load_recording(read_task(place), folder, seed=seed)
