import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import make_url

from iapo_core.runs.catalogue import add_table, open_environment, task_fingerprint
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.store import Store

POSTGRES = os.environ.get("IAPO_TEST_POSTGRES_URL")
NO_POSTGRES = "set IAPO_TEST_POSTGRES_URL to a server on which databases may be created"


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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(POSTGRES is None, reason=NO_POSTGRES))])
def backend(request, home, monkeypatch) -> Iterator[str]:
    """The address of an empty database; the same contract holds for every kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{home / 'iapo.db'}"
        return
    import psycopg

    name = f"iapo_test_{secrets.token_hex(6)}"
    server = make_url(POSTGRES)
    address = server.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    monkeypatch.setenv("IAPO_DATABASE_URL", address)
    yield address
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(home, backend) -> Iterator[Store]:
    """An open store."""
    home.mkdir(parents=True, exist_ok=True)
    opened = Store.open(backend)
    yield opened
    opened.close()
