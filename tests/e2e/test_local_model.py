"""The whole way with the real small model: uploaded, bought, killed, finished, looked at; run where the model is present.

IAPO_TEST_GGUF=/path/to/SmolLM2-135M-Instruct.Q4_1.gguf pytest tests/e2e/test_local_model.py -s
"""

import contextlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from iapo_core.environments.local_model import GGUF, Served, is_installed
from iapo_core.runs import local_server
from iapo_core.runs.ledger import spending
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished
from tests.e2e.conftest import ROOT
from tests.e2e.counting import Counting
from tests.e2e.steps import begin, fill, kill_workers, upload_task, wait_until
from tests.e2e.test_browser import settle
from tests.e2e.test_live import essence

MODEL = os.environ.get("IAPO_TEST_GGUF", "")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not MODEL or not is_installed(), reason="set IAPO_TEST_GGUF to the model's file; pip install 'iapo[local]'"
    ),
]
T, PROMPTS, N_MAX, PATIENCE_S = 300, ("label-4", "terse", "editor", "open"), 4, 900


def task_text() -> str:
    """Four prompts of the bundled topics, short answers, bought from this machine's own model."""
    task = json.loads((ROOT / "sample_tasks" / "topics" / "task.json").read_text(encoding="utf-8"))
    task |= {"id": "topics-live", "title": "Topics, bought here", "origin": "live", "n_max": N_MAX, "recording": None}
    task["prompts"] = [prompt for prompt in task["prompts"] if prompt["id"] in PROMPTS]
    task["decoding"] = [{"id": "t1", "model": local_server.NAME, "temperature": 1.0, "max_tokens": 6}]
    return json.dumps(task)


@pytest.fixture
def dashboard(start_server, monkeypatch):
    server = start_server()
    for name in ("IAPO_DATA_DIR", "IAPO_DATABASE_URL"):
        monkeypatch.setenv(name, server.environment[name])
    local_server.models_dir().mkdir()
    (local_server.models_dir() / GGUF).symlink_to(Path(MODEL).resolve())
    yield server
    local_server.stop()


@pytest.fixture
def counted(dashboard):
    """The model's server, behind one that counts."""
    server = local_server.ensure(slots=4, threads=1, idle_s=300)
    with Counting(server.served.base_url.removesuffix("/v1")) as counting:
        local_server._note(replace(server, served=Served(f"{counting.origin}/v1", server.served.api_key)))
        yield counting
        local_server._note(server)


def test_a_run_of_the_real_model_survives_kills_and_pays_once(dashboard, counted, open_page):
    page, began = open_page(), time.monotonic()
    upload_task(page, dashboard, task_text())
    fill(page, "budget", T)
    fill(page, "concurrency", 4)
    assert "Running: 4 completions at once" in page.inner_text(".st-key-local-model")
    run_id, address = begin(page), page.url
    started = time.monotonic()
    wait_until(lambda: counted.answered >= 60, "sixty completions", PATIENCE_S)
    kill_workers(dashboard)
    answered = counted.answered
    assert answered < T
    wait_until(lambda: counted.answered >= answered + 40, "forty more of the next worker", PATIENCE_S)
    dashboard.kill()
    dashboard.begin()
    page.goto(address)
    page.wait_for_selector("h1:has-text('Finished')", timeout=1000 * PATIENCE_S)
    settle(page)
    took = time.monotonic() - started
    with contextlib.closing(Store.open()) as store:
        now, run = spending(store, run_id), store.run(run_id)
        assert now.usd == 0
        assert now.bought - now.lost <= counted.requests <= now.bought <= T + now.allowance
        _report(run, now, counted, started - began, took)
        n_requests = counted.requests
        again = store.create_run(run.config, is_kept=True)  # the same completions, undisturbed
        ensure_finished(store, again)
        assert essence(store, run_id) == essence(store, again)
        assert counted.requests == n_requests
        assert spending(store, again).bought == 0
    page.goto(f"{dashboard.origin}/results?run={run_id}&view=Texts")
    page.wait_for_selector(".st-key-text-completions-left", timeout=60_000)
    assert page.locator("[data-testid=stException]").count() == 0


def _report(run, now, counted, set_up_s, took):
    print(f"\nset up in {set_up_s:.0f} s, run of {took:.0f} s with two kills")
    print(f"server: {counted.requests} requests, {counted.answered} answered; ledger: {now.bought} bought, {now.lost} lost")
    for choice in run.policy.choices:
        e = choice.estimate
        print(f"{choice.context}: {choice.candidate}, N = {choice.n}, held-out {e.value:.3f} ({e.low:.3f} to {e.high:.3f}), "
              f"{e.n_queries} queries")  # fmt: skip
