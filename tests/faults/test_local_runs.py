"""Runs of the model that this machine serves itself: no key, no price, and completions that outlive the server's port."""

import pytest

from iapo_core.environments.endpoints import LOCAL_PRICE, Endpoint, key_slots
from iapo_core.environments.live import LiveSettings
from iapo_core.errors import LocalModelError
from iapo_core.runs import local_server
from iapo_core.runs.catalogue import keep_task, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.ledger import spending
from iapo_core.runs.worker import ensure_finished
from tests.faults.living import clever, live_task
from tests.faults.server import FaultServer


@pytest.fixture
def served_by(monkeypatch):
    """Let a stand-in be the local model's server."""

    def serve(server):
        served = Endpoint("openai/ok", server.base, local_server.KEY_SLOT, LOCAL_PRICE), {local_server.KEY_SLOT: "its own key"}
        monkeypatch.setattr(local_server, "endpoint", lambda: served)

    return serve


def local_config(**changes):
    task = live_task(model=local_server.NAME)
    task_id = keep_task(task)
    settings = LiveSettings(concurrency=4, **changes)
    return RunConfig(
        task=task_id, task_fingerprint=task_fingerprint(task_id), budget=120, n_max=4, contexts=task.contexts, live=settings
    )


def test_it_needs_no_key_costs_nothing_and_is_reused_at_another_port(store, home, served_by):
    assert key_slots(live_task(model=local_server.NAME), LiveSettings(api_key_env="OF_ANOTHER_MODEL")) == {}
    with FaultServer(text=clever) as first:
        served_by(first)
        run_id = store.create_run(local_config(max_usd=0.01))  # a dollar cap can be kept: the price is known to be 0
        ensure_finished(store, run_id)
    run, now = store.run(run_id), spending(store, run_id)
    assert (run.state, run.message) == ("finished", "")
    assert first.stats.billed == now.bought > 50
    assert now.usd == 0
    assert first.stats.keys == {"Bearer its own key"}
    with FaultServer(text=clever) as second:
        served_by(second)
        again = store.create_run(local_config(max_usd=0.02))
        ensure_finished(store, again)
    assert second.stats.requests == 0
    assert spending(store, again).reused == now.bought
    assert store.run(again).policy == run.policy


def test_a_model_that_is_not_here_is_refused_in_words(store, home, monkeypatch):
    def refuse():
        raise LocalModelError("The local model is not here yet.")

    monkeypatch.setattr(local_server, "endpoint", refuse)
    run_id = store.create_run(local_config())
    ensure_finished(store, run_id)
    run = store.run(run_id)
    assert (run.state, run.message) == ("failed", "The local model is not here yet.")
