"""Pages run in their own data folder, with small tasks and no worker process."""

import sys
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from iapo_core.runs import catalogue
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished
from tests.pages import tiny

ROOT = Path(__file__).parents[2]
TIMEOUT = 60


@pytest.fixture(autouse=True)
def own_main(monkeypatch):
    """A page replaces the main module by itself; processes that later tests start would look for it in vain."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty database beside two small tasks; nothing of the machine's own is read."""
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IAPO_DATABASE_URL", f"sqlite:///{tmp_path / 'iapo.db'}")
    samples = tmp_path / "samples"
    tiny.write_tasks(samples)
    monkeypatch.setattr(catalogue, "samples_dir", lambda: samples)
    monkeypatch.setattr("iapo_core.runs.worker.SHOWCASE_TASK", tiny.VOTE)
    monkeypatch.setattr("iapo_core.runs.worker.ensure_worker", lambda store: None)
    monkeypatch.setattr("pages.shell.session.ensure_worker", lambda store: None, raising=True)
    monkeypatch.setattr("pages.shell.purchase.ensure_worker", lambda store: None)
    monkeypatch.setattr("pages.shell.live.ensure_worker", lambda store: None)
    st.cache_resource.clear()
    opened = Store.open()
    yield opened
    opened.close()
    st.cache_resource.clear()


@pytest.fixture
def make_run(store):
    """Make runs of a small task, finished unless said otherwise."""

    def make(task: str = tiny.VOTE, *, budget: int = 240, is_finished: bool = True, **options) -> str:
        environment = catalogue.open_environment(task, 0)
        config = RunConfig(
            task=task,
            task_fingerprint=catalogue.task_fingerprint(task),
            budget=budget,
            n_max=environment.n_max,
            contexts=named(environment.contexts, environment.objectives),
            **options,
        )
        run_id = store.create_run(config)
        if is_finished:
            ensure_finished(store, run_id)
        return run_id

    return make


@pytest.fixture
def open_page(store, tmp_path):
    """Open a page through the front door, as a browser does on a server that has run `app.py` before.

    AppTest forgets the navigation after each run and would come in through the `pages/` folder again, where the guard starts
    over and a click is lost. A front door in a folder without `pages/` beside it is always gone through.
    """
    door = tmp_path / "door.py"
    door.write_text((ROOT / "app.py").read_text(encoding="utf-8"), encoding="utf-8")

    def open_one(page: str = "home", **query: str) -> AppTest:
        app = AppTest.from_file(str(door), default_timeout=TIMEOUT)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run() if page == "home" else app.switch_page(str(ROOT / "pages" / f"{page}.py")).run()

    return open_one
