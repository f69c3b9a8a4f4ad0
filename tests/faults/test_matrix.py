"""Every fault of a provider at every position of a run: the first call, one in the middle, the last of a round, all calls.

Whatever happens: the run ends in a named state and in plain words, `billed <= ledger <= T + R`, nothing that may have been billed
is sent again, the key is nowhere, and the fault really fired. A fault that passes leaves a run that ends, or that ends once it
is resumed. Plain addresses are spoken to directly here, through LiteLLM in test_provider.
"""

import re
import time

import pytest
from sqlalchemy import text

from iapo_core.events import Pulled
from iapo_core.runs.catalogue import keep_task, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.ledger import spending
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished
from tests.faults import server as faults
from tests.faults.living import CANARY, SLOT, clever, live_task, settings
from tests.faults.server import FaultServer
from tests.faults.test_provider import BILLED_DATA, EMPTY, FINE, STOPS, TEMPORARY, UNBILLED_DATA

BUDGET, CONCURRENCY = 40, 3
SLOW = {"hang", "drip"}
KEPT_HERE = {"usage-nan", "usage-strings", "list-content"}  # what LiteLLM cannot read and we can
EMPTY = EMPTY | {"no-message"}
BILLED = (BILLED_DATA - KEPT_HERE - EMPTY) & set(faults.FAULTS)
FOR_EVER = {"finished": (FINE | EMPTY | KEPT_HERE), "failed": (STOPS | TEMPORARY | BILLED | UNBILLED_DATA)}
UNPLAIN = re.compile(r"Traceback|Error\(|Exception|<class|\bNone\b|litellm\.|aiohttp|httpx")


@pytest.fixture(scope="module")
def server():
    with FaultServer(text=clever) as running:
        yield running


@pytest.fixture
def opened(home, monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)
    home.mkdir(parents=True)
    store = Store.open()
    yield store
    store.close()


def run_of(store, server, model):
    """A run of a small task on a model of its own; returns its id, rested."""
    task = live_task(model=f"openai/{model}", n_prompts=2, n_queries=6, n_max=2)
    task_id = keep_task(task.model_copy(update={"id": f"little-{abs(hash(model))}"}))
    config = RunConfig(
        task=task_id,
        task_fingerprint=task_fingerprint(task_id),
        budget=BUDGET,
        n_max=2,
        contexts=task.contexts,
        live=settings(
            server,
            concurrency=CONCURRENCY,
            deadline_s=1.5 if model.partition("#")[0] in SLOW else 60.0,
            n_tries=2,
            route="direct",
        ),
    )
    run_id = store.create_run(config)
    ensure_finished(store, run_id)
    return run_id


@pytest.fixture(scope="module")
def first_round(server, tmp_path_factory):
    """How many completions the first round buys where nothing breaks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IAPO_DATA_DIR", str(tmp_path_factory.mktemp("reference")))
        patch.delenv("IAPO_DATABASE_URL", raising=False)
        patch.setenv(SLOT, CANARY)
        store = Store.open()
        run_id = run_of(store, server, "ok")
        assert store.run(run_id).state == "finished"
        n = next(event.spent for _, event in store.events(run_id) if isinstance(event, Pulled))
        assert 4 < n < spending(store, run_id).bought
        store.close()
    return n


def check_promises(store, server, run_id, model):
    """What holds of every run, whatever broke."""
    run, now = store.run(run_id), spending(store, run_id)
    billed, requests, fired = (getattr(server.stats, what)[model] for what in ("billed_for", "seen", "fired"))
    assert fired > 0, "the fault did not fire"
    assert run.state in ("finished", "stopped", "failed")
    assert billed <= now.bought <= now.cap + now.allowance
    assert (now.in_flight, now.lost) == (0, 0)
    assert billed <= requests <= billed + fired  # only what the server itself did not bill was sent again
    name = re.split("[@#]", model)[0]
    if name in BILLED:
        assert requests == now.bought  # one request for each row
    assert (run.state == "finished") == (not run.message)
    assert not UNPLAIN.search(run.message)
    with store._read() as connection:
        rows = connection.execute(text("SELECT state, error FROM completions WHERE run_id = :id"), {"id": run_id}).all()
    assert len(rows) == now.bought
    assert {row.state for row in rows} <= {"settled", "failed"}
    for row in rows:
        assert row.state == "settled" or (row.error and not UNPLAIN.search(row.error))
    return run, sum(row.error is not None for row in rows)


@pytest.mark.parametrize("name", faults.FAULTS)
def test_a_fault_at_every_position_of_a_run(opened, server, home, caplog, capfd, first_round, name):
    caplog.set_level("DEBUG", logger="iapo_core")
    for nth in (1, first_round // 2, first_round, None):
        model = name if nth is None else f"{name}#{nth}"
        began = time.monotonic()
        run_id = run_of(opened, server, model)
        run, n_errors = check_promises(opened, server, run_id, model)
        if nth is None:
            expected = next(state for state, names in FOR_EVER.items() if name in names)
            assert run.state == expected, run.message
            assert (n_errors > 0) == (name in BILLED | EMPTY | UNBILLED_DATA)
        elif name in STOPS:
            assert run.state == "failed"
            opened.request(run_id, "resume")
            ensure_finished(opened, run_id)
            run, n_errors = check_promises(opened, server, run_id, model)
            assert run.state == "finished"
        else:
            assert run.state == "finished", run.message
            assert n_errors == (name in BILLED | EMPTY | UNBILLED_DATA)
        assert time.monotonic() - began < 60
    said = capfd.readouterr()
    assert CANARY not in said.out + said.err + caplog.text + repr(opened.runs())
    opened.close()
    n_read = 0
    for path in home.rglob("*"):
        if path.is_file():
            n_read += 1
            assert CANARY.encode() not in path.read_bytes(), path
    assert n_read >= 5
