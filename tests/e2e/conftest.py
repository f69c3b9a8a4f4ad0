"""A real server in its own process, a real browser, and an ear for what the page asks of the network."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.pages import tiny

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FINISH = """
import sys
from iapo_core.runs import catalogue
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished

task, store = sys.argv[1], Store.open()
environment = catalogue.open_environment(task, 0)
contexts = named(environment.contexts, environment.objectives)
config = RunConfig(task=task, task_fingerprint=catalogue.task_fingerprint(task), budget=240, n_max=4, contexts=contexts)
run_id = store.create_run(config)
ensure_finished(store, run_id)
print(run_id)
"""


class Server:
    """A dashboard on a free port with its own data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.environment = {**os.environ, "IAPO_DATA_DIR": str(folder), "IAPO_DATABASE_URL": f"sqlite:///{folder / 'iapo.db'}"}
        self.log = (folder / "server.log").open("a")
        self.extra: list[subprocess.Popen[bytes]] = []
        self.begin()

    def begin(self) -> None:
        """Start the process on the port, which it had before if this is not the first time."""
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if urllib.request.urlopen(f"{self.origin}/_stcore/health", timeout=2).status == 200:  # noqa: S310
                    return
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"The server did not start; its log: {(self.folder / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(timeout=20)

    def work(self) -> subprocess.Popen[bytes]:
        """Start one more worker; it ends with the server."""
        command = [sys.executable, "-m", "iapo_core.cli", "worker", "--idle", "60"]
        self.extra.append(subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log))
        return self.extra[-1]

    def workers(self) -> list[int]:
        """Return the process ids of workers that said they live or hold a run; an id begins with its process id."""
        with contextlib.closing(sqlite3.connect(self.folder / "iapo.db")) as connection:
            names = [*connection.execute("SELECT id FROM workers"), *connection.execute("SELECT owner FROM runs")]
        return sorted({int(pid) for (name,) in names if name and (pid := name.split("-")[0]).isdigit()})

    def stop(self) -> None:
        for process in (self.process, *self.extra):
            process.terminate()
            process.wait(timeout=20)
        self.log.close()
        if (self.folder / "iapo.db").exists():
            for pid in self.workers():  # a worker outlives its dashboard
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def start_server(tmp_path):
    """Start servers that end with the test; each has tasks of its own and nothing in its database."""
    started = []

    def start(name: str = "server") -> Server:
        folder = tmp_path / name
        folder.mkdir()
        tiny.write_tasks(folder / "tasks")
        started.append(Server(folder))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A server with a finished run of a task whose texts try to fetch things, and the run's id."""
    folder = tmp_path_factory.mktemp("hostile")
    tiny.write_tasks(folder / "tasks")
    tiny.write_hostile(folder / "tasks")
    server = Server(folder)
    command = [sys.executable, "-c", FINISH, tiny.HOSTILE]
    made = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=True, timeout=60)
    yield server, made.stdout.strip()
    server.stop()


@pytest.fixture
def open_page(chromium):
    """Open pages that note every request and every complaint of theirs."""
    contexts = []

    def open_one(**options):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.requests_seen, page.complaints = [], []
        page.on("request", lambda request: page.requests_seen.append(request.url))
        page.on("console", lambda message: page.complaints.append(message) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(error))
        return page

    yield open_one
    for context in contexts:
        context.close()
