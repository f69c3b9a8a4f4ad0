from pathlib import Path

import numpy as np
import pytest

from iapo_core.runs.catalogue import add_table, open_environment, task_fingerprint
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.store import Store


def table_bytes(tmp_path: Path, seed=0) -> bytes:
    """A small count table as its file's bytes."""
    rng = np.random.default_rng(seed)
    path = tmp_path / f"table-{seed}.npz"
    np.savez_compressed(
        path,
        counts=rng.integers(1, 30, (5, 24, 4)),
        answers=rng.integers(0, 4, 24),
        cost_per_prompt=rng.uniform(0.005, 0.01, 5),
        cost_weights=np.array([0.0, 1.0]),
        n_max=np.array(8),
    )
    return path.read_bytes()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A data folder of the test's own."""
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("IAPO_DATABASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def config(home, tmp_path) -> RunConfig:
    """A run of 800 completions on a table that was just added."""
    task = add_table("little table.npz", table_bytes(tmp_path))
    environment = open_environment(task)
    return RunConfig(
        task=task,
        task_fingerprint=task_fingerprint(task),
        budget=800,
        n_max=8,
        contexts=named(environment.contexts, environment.objectives),
    )


@pytest.fixture
def store(home):
    """An open store."""
    opened = Store.open()
    yield opened
    opened.close()
