"""A planted key, echoed by the server in bodies, headers, texts and names under many faults, is found in no sink afterwards."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, select

from iapo_core import cli
from iapo_core.outputs import completions
from iapo_core.outputs.export import run_policy
from iapo_core.runs.catalogue import keep_task, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.evidence import evidence_environment
from iapo_core.runs.ledger import spending
from iapo_core.runs.worker import _STARTED, start_keyed_worker
from tests.faults.living import CANARY, SLOT, clever, live_task, settings
from tests.faults.server import FaultServer

PATIENCE_S = 120
PASSING = (
    "echo", "error-in-200#2", "400#3", "413#1", "429-once", "500#2", "502#3", "surrogate", "null#1", "filtered#2", "reset#2",
    "reset-mid-body#3", "truncated#4", "not-json#1", "bad-utf8#2", "no-choices#3", "other-model", "usage-strings#2", "cut",
)  # fmt: skip


@pytest.fixture
def server():
    with FaultServer(text=clever) as running:
        yield running


def canary_config(server, route, models):
    task = live_task(
        n_prompts=1, n_queries=6, n_max=2, decoding=[{"id": f"d{i}", "model": f"openai/{name}"} for i, name in enumerate(models)]
    )
    task_id = keep_task(task)
    return RunConfig(
        task=task_id,
        task_fingerprint=task_fingerprint(task_id),
        budget=400,
        n_max=2,
        contexts=task.contexts,
        live=settings(server, route=route, deadline_s=60.0, concurrency=2),
    )


def begin(store, run_id, access, log):
    """Start a real worker that gets the key by the path that is tested."""
    if access == "typed":
        start_keyed_worker(store, run_id, {SLOT: CANARY})
        return _STARTED[-1]
    with log.open("wb") as out:
        command = [sys.executable, "-m", "iapo_core.cli", "worker", "--idle", "0"]
        environment = os.environ | {SLOT: CANARY, "IAPO_DATABASE_URL": store.url}
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment)


def search(what, content):
    content = content.encode() if isinstance(content, str) else content
    assert CANARY.encode() not in content, what
    return bool(content)


def rows_of(url):
    """Return every row of every table as text."""
    engine, tables = create_engine(url), MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        found = [repr(tuple(row)) for table in tables.sorted_tables for row in connection.execute(select(table))]
    engine.dispose()
    return found


@pytest.mark.parametrize(("access", "route"), [("typed", "direct"), ("environment", "direct"), ("typed", "litellm")])
def test_the_planted_key_is_in_no_sink(store, server, home, monkeypatch, capfd, caplog, tmp_path, access, route):
    monkeypatch.delenv(SLOT, raising=False)
    names = [name for name in PASSING if route == "direct" or name != "usage-strings#2"]
    ids = []
    for models in (names, ["401"], ["500"]):
        ids.append(store.create_run(canary_config(server, route, models), needs_keys=access == "typed"))
        process = begin(store, ids[-1], access, home / f"worker-{len(ids)}.out")
        until, n_seen = time.monotonic() + PATIENCE_S, 0
        while process.poll() is None:
            assert time.monotonic() < until
            n_seen += search("arguments", Path(f"/proc/{process.pid}/cmdline").read_bytes())
            time.sleep(0.05)
        assert (process.returncode, n_seen > 0) == (0, True)
    assert server.stats.keys == {f"Bearer {CANARY}"}  # it was sent, and it came back
    states = [store.run(run_id).state for run_id in ids]
    assert states == ["finished", "failed", "failed"], [store.run(run_id).message for run_id in ids]
    assert sum(server.stats.fired.values()) >= len(names)
    assert spending(store, ids[0]).failed >= 6

    run = store.run(ids[0])
    assert search("policy", run_policy(run).to_json())
    environment = evidence_environment(store, run, [event for _, event in store.events(run.id)])
    assert "[key hidden]" in completions.as_csv(environment).decode()  # the echo, hidden
    for make in (completions.as_csv, completions.as_jsonl, completions.as_parquet):
        assert search(make.__name__, make(environment))
    for run_id in ids:
        search("message", repr(store.run(run_id)))
        for _, payload in store.payloads(run_id):
            search("event", payload)
    assert cli.main(["export", ids[0]]) == 0
    assert cli.main(["runs"]) == 0
    said = capfd.readouterr()
    assert search("output", said.out)
    search("errors", said.err)
    search("log", caplog.text)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert "task.json" in {path.name for path in files}
    assert ("iapo.db" in {path.name for path in files}) == store.url.startswith("sqlite")
    assert any(path.suffix in (".log", ".out") for path in files)
    for path in files:
        search(path, path.read_bytes())
    assert search("database", "\n".join(rows_of(store.url)))  # the server's own files are not ours to read
