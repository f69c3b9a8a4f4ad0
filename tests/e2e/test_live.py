"""Live runs from the browser on, against a server that counts: killed, started twice, and with a key that was typed."""

import contextlib
import sqlite3
from dataclasses import replace

import pytest

from iapo_core.events import Finished, Pulled, to_json
from iapo_core.runs.ledger import spending
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished
from tests.e2e.steps import PATIENCE_S, begin, fill, kill_workers, upload_task, wait_until
from tests.e2e.test_browser import settle, unexpected
from tests.faults.living import CANARY, SLOT, clever, task_json
from tests.faults.server import FaultServer

pytestmark = pytest.mark.browser
T = 300
TASK = task_json(n_queries=40)


@pytest.fixture
def bought_from():
    with FaultServer(text=clever, delay_s=0.15) as running:
        yield running


@pytest.fixture
def dashboard(start_server, monkeypatch):
    """A dashboard with a live task in its data folder; the test itself may read its database."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")  # whatever goes wrong, nothing leaves this machine
    server = start_server()
    folder = server.folder / "tasks" / "little-live"
    folder.mkdir()
    (folder / "task.json").write_text(TASK, encoding="utf-8")
    for name in ("IAPO_DATA_DIR", "IAPO_DATABASE_URL"):
        monkeypatch.setenv(name, server.environment[name])
    return server


def set_up(page, dashboard, bought_from, *, is_uploaded=False):
    if is_uploaded:
        upload_task(page, dashboard, TASK)
    else:
        page.goto(f"{dashboard.origin}/run?task=little-live")
        page.wait_for_selector(".st-key-start button", timeout=60_000)
        settle(page)
    fill(page, "budget", T)
    fill(page, "api-base", bought_from.base)
    fill(page, "api-key-env", SLOT)
    fill(page, "concurrency", 8)


def essence(store, run_id):
    """Events without who paid, and the policy with its held-out estimates."""
    events = [event for _, event in store.events(run_id)]
    assert isinstance(events[-1], Finished)
    told = [replace(event, n_reused=0) if isinstance(event, Pulled) else event for event in events]
    return [to_json(event) for event in told], store.run(run_id).policy


def test_killed_worker_and_killed_dashboard_change_nothing(dashboard, bought_from, open_page, monkeypatch):
    dashboard.kill()
    dashboard.environment[SLOT] = CANARY
    monkeypatch.setenv(SLOT, CANARY)
    dashboard.begin()
    page = open_page()
    set_up(page, dashboard, bought_from, is_uploaded=True)
    run_id, address = begin(page), page.url

    wait_until(lambda: bought_from.stats.billed >= 60, "sixty completions")
    kill_workers(dashboard)
    billed = bought_from.stats.billed
    assert billed < T
    wait_until(lambda: bought_from.stats.billed >= billed + 40, "forty more of the next worker")
    dashboard.kill()
    assert bought_from.stats.billed < T
    dashboard.begin()
    page.goto(address)
    page.wait_for_selector("h1:has-text('Finished')", timeout=1000 * PATIENCE_S)
    settle(page)
    n_paid = bought_from.stats.billed

    with contextlib.closing(Store.open()) as store:
        now, run = spending(store, run_id), store.run(run_id)
        assert 0 < now.lost <= 8  # what was in flight when the worker was killed
        assert bought_from.stats.requests == n_paid
        assert now.bought - now.lost <= n_paid <= now.bought <= T + now.allowance
        quiet = run.config.model_copy(update={"live": run.config.live.model_copy(update={"identity": "undisturbed"})})
        undisturbed = store.create_run(quiet, is_kept=True)  # the dashboard's worker leaves it to us
        bought_from.delay_s = 0.0
        ensure_finished(store, undisturbed)
        assert essence(store, run_id) == essence(store, undisturbed)
        estimate = run.policy.choices[0].estimate
    assert estimate.source == "heldout"
    page.goto(f"{dashboard.origin}/results?run={run_id}")
    page.wait_for_selector(".st-key-decision", timeout=60_000)
    assert f"{estimate.value:.3f}" in page.inner_text(".st-key-decision")
    assert f"from {estimate.n_queries} queries kept aside" in page.inner_text(".st-key-decision")


def test_two_tabs_and_two_workers_pay_for_each_completion_once(dashboard, bought_from, open_page, monkeypatch):
    dashboard.kill()
    dashboard.environment[SLOT] = CANARY
    dashboard.begin()
    pages = [open_page(), open_page()]
    for page in pages:
        set_up(page, dashboard, bought_from)
    runs = [begin(pages[0])]
    second = dashboard.work()  # the first tab starts a worker by itself
    runs.append(begin(pages[1]))
    for page in pages:
        page.wait_for_selector("h1:has-text('Finished')", timeout=1000 * PATIENCE_S)
    with contextlib.closing(Store.open()) as store:
        assert len(set(runs)) == 2
        each = [spending(store, run_id) for run_id in runs]
        assert store.run(runs[0]).policy == store.run(runs[1]).policy
    assert sum(now.reused for now in each) > 0
    assert bought_from.stats.requests == bought_from.stats.billed == sum(now.bought for now in each) <= T
    with contextlib.closing(sqlite3.connect(dashboard.folder / "iapo.db")) as connection:
        (n_rows, n_keys) = connection.execute("SELECT COUNT(*), COUNT(DISTINCT cell || sample) FROM completions").fetchone()
    assert n_rows == n_keys == bought_from.stats.billed
    assert second.poll() is None


def test_a_typed_key_reaches_the_provider_and_nothing_else(dashboard, bought_from, open_page):
    page = open_page()
    heard = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda payload: heard.append(payload)))
    set_up(page, dashboard, bought_from)
    fill(page, f"key-of-{SLOT}", CANARY)
    begin(page)
    wait_until(lambda: bought_from.stats.billed >= 60, "sixty completions")
    kill_workers(dashboard)  # the key dies with the one process that had it
    page.reload()  # and with the session that typed it
    page.wait_for_selector(".st-key-keys-wanted", timeout=1000 * PATIENCE_S)
    settle(page)
    bought_from.delay_s = 0.0
    fill(page, f"key-of-{SLOT}", CANARY)
    page.click(".st-key-resume button")
    page.wait_for_selector("h1:has-text('Finished')", timeout=1000 * PATIENCE_S)
    settle(page)
    assert bought_from.stats.requests == bought_from.stats.billed <= T + 8
    assert bought_from.stats.keys == {f"Bearer {CANARY}"}
    shown = page.evaluate(
        "() => document.documentElement.outerHTML + [...document.querySelectorAll('input, textarea')].map(box => box.value).join()"
    )
    assert len(shown) > 1_000
    assert CANARY not in shown
    assert CANARY not in page.url
    assert heard
    assert not any(CANARY.encode() in (frame if isinstance(frame, bytes) else frame.encode()) for frame in heard)
    page.click(".st-key-new button")  # the next form says that it is held, and does not show it
    page.wait_for_selector(".st-key-start button", timeout=60_000)
    fill(page, "api-key-env", SLOT)
    assert CANARY not in page.evaluate("() => [...document.querySelectorAll('input')].map(box => box.value).join()")
    written = [path for path in dashboard.folder.rglob("*") if path.is_file()]
    assert {"iapo.db", "server.log", "worker.log"} <= {path.name for path in written}
    for path in written:
        assert CANARY.encode() not in path.read_bytes(), path
    assert unexpected(page) == []
