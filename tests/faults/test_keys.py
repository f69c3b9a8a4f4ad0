"""Keys that are typed live in one worker's memory; when it dies the run says so, and goes on when they are given again."""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from iapo_core import cli
from iapo_core.environments.endpoints import endpoint_of, identity_of, key_slots
from iapo_core.environments.live import LiveSettings
from iapo_core.errors import LiveError, RunError
from iapo_core.runs import claims
from iapo_core.runs.ledger import spending
from iapo_core.runs.live_runs import Access
from iapo_core.runs.worker import _STARTED, ensure_finished, ensure_worker, start_keyed_worker, work
from tests.faults import dying
from tests.faults.living import CANARY, SLOT, buyer, clever, live_config, live_task
from tests.faults.server import FaultServer
from tests.faults.test_provider import ONE

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv(SLOT, raising=False)


@pytest.fixture
def server():
    with FaultServer(text=clever, delay_s=0.02) as running:
        yield running


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.005)


def test_a_worker_without_the_keys_leaves_the_run_alone(store, server):
    run_id = store.create_run(live_config(server), needs_keys=True)
    assert store.claim("w", 10.0) is None
    assert store.claim("w", 10.0, run_id) is None
    ensure_finished(store, run_id)
    work(store, idle_s=0)
    run = store.run(run_id)
    assert (run.state, run.needs_keys, server.stats.requests) == ("queued", True, 0)
    assert store.claim("w", 10.0, run_id, holds_keys=True) is not None


def test_a_detached_worker_gets_typed_keys_through_a_pipe_and_nowhere_else(store, backend, server, home):
    run_id = store.create_run(live_config(server), needs_keys=True)
    start_keyed_worker(store, run_id, {SLOT: CANARY})
    worker = Path(f"/proc/{_STARTED[-1].pid}")
    wait_for(lambda: server.stats.billed > 0, "the first call")
    for process in (worker, Path("/proc/self")):
        for what in ("cmdline", "environ"):
            assert CANARY.encode() not in (process / what).read_bytes()
    wait_for(lambda: not store.run(run_id).is_active, "the end of the run")
    assert store.run(run_id).state == "finished"
    assert server.stats.keys == {f"Bearer {CANARY}"}
    assert spending(store, run_id).bought == server.stats.billed > 50
    assert _STARTED[-1].wait(PATIENCE_S) == 0
    for path in home.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
    assert (home / "worker.log").exists()


def test_when_the_worker_dies_the_run_asks_for_its_key_and_goes_on_with_it(store, backend, server):
    run_id = store.create_run(live_config(server), needs_keys=True)
    process = dying.spawn(dying.work_with_keys, backend, run_id, {SLOT: CANARY})
    wait_for(lambda: server.stats.billed >= 30, "thirty completions")
    process.kill()
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL
    assert store.run(run_id).state == "running"
    wait_for(lambda: work(store, idle_s=0) or store.run(run_id).state == "stopped", "the run to rest")
    assert "give the key again" in store.run(run_id).message
    before = spending(store, run_id).bought
    start_keyed_worker(store, run_id, {SLOT: CANARY})
    wait_for(lambda: not store.run(run_id).is_active, "the end of the run")
    run, now = store.run(run_id), spending(store, run_id)
    assert (run.state, run.message) == ("finished", "")
    assert {choice.candidate for choice in run.policy.choices} == {"p2"}
    assert before < now.bought <= now.cap + now.allowance
    assert now.bought - now.lost <= server.stats.billed <= now.bought
    with pytest.raises(RunError, match="finished"):
        start_keyed_worker(store, run_id, {SLOT: CANARY})


def test_a_worker_that_is_told_to_leave_asks_for_the_key_as_well(store, backend, server):
    run_id = store.create_run(live_config(server), needs_keys=True)
    process = dying.spawn(dying.work_with_keys, backend, run_id, {SLOT: CANARY})
    wait_for(lambda: server.stats.billed >= 10, "ten completions")
    os.kill(process.pid, signal.SIGTERM)
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    run = store.run(run_id)
    assert (run.state, run.message) == ("stopped", claims.KEYS_GONE)
    assert spending(store, run_id).lost == 0


def test_a_run_whose_keys_never_came_says_so(store, server, monkeypatch):
    monkeypatch.setattr("iapo_core.runs.store.KEYED_WAIT_S", 0.05)
    monkeypatch.setattr(claims, "GRACE_S", 0.0)
    run_id = store.create_run(live_config(server), needs_keys=True)
    store.rest_keyless()
    assert store.run(run_id).state == "queued"  # its worker may still be starting
    time.sleep(0.1)
    store.beat("somebody")
    ensure_worker(store)
    assert (store.run(run_id).state, store.run(run_id).message) == ("stopped", claims.KEYS_GONE)


def test_a_worker_that_waits_with_the_keys_takes_over_from_one_that_died(store, backend, server):
    run_id = store.create_run(live_config(server, route="direct"), needs_keys=True)
    process = dying.spawn(dying.work_with_keys, backend, run_id, {SLOT: CANARY})
    wait_for(lambda: server.stats.billed >= 10, "ten completions")
    process.kill()
    process.join(PATIENCE_S)
    waiting = dying.spawn(dying.work_with_keys, backend, run_id, {SLOT: CANARY})
    while waiting.is_alive():
        store.rest_keyless()  # as pages and other workers do all the time
        time.sleep(0.001)
    assert waiting.exitcode == 0
    assert (store.run(run_id).state, store.run(run_id).message) == ("finished", "")


def test_a_run_that_takes_its_keys_from_the_environment_needs_no_typed_ones(store, server):
    run_id = store.create_run(live_config(server))
    with pytest.raises(RunError, match="takes its keys from the environment"):
        start_keyed_worker(store, run_id, {SLOT: CANARY})


@pytest.mark.parametrize(
    ("arguments", "said", "words"),
    [
        (["--keys-from-stdin"], "{}", "name it with --run"),
        (["--keys-from-stdin", "--run", "r"], CANARY, "one JSON object"),
        (["--keys-from-stdin", "--run", "r"], json.dumps([CANARY]), "one JSON object"),
        (["--keys-from-stdin", "--run", "nowhere"], "{}", "no run 'nowhere'"),
    ],
    ids=["no run", "no JSON", "a list", "an unknown run"],
)
def test_keys_that_cannot_be_used_are_refused_without_being_quoted(home, monkeypatch, capsys, arguments, said, words):
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    assert cli.main(["worker", *arguments]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert CANARY not in told


def test_an_access_does_not_show_its_keys():
    assert CANARY not in repr(Access({SLOT: CANARY}))


def several(first, second, **more):
    """A task of two decoding configs: a named address with its own key, and the run's address."""
    own = {"id": "own", "model": "openai/ok", "max_tokens": 8, "api_base": first.base, "api_key_env": "OWN_KEY"}
    return live_task(decoding=[own | more, {"id": "the run", "model": "openai/ok", "max_tokens": 8}])


def test_each_address_gets_its_own_key_and_is_its_own_in_the_ledger(store, server):
    with FaultServer(text=clever) as other:
        task = several(server, other)
        environment, _, claim = buyer(store, other, task=task, keys={SLOT: CANARY, "OWN_KEY": "sk-its-own-000000"})
        first, second = environment.candidates[:2]
        assert (first, second) == ("p0 @ own", "p0 @ the run")
        outcomes = environment.pull(ONE._replace(candidates=ONE.candidates))
        assert outcomes.n_failed == 0
        environment.pull(ONE._replace(candidates=ONE.candidates + 1))
        assert server.stats.keys == {"Bearer sk-its-own-000000"}
        assert other.stats.keys == {f"Bearer {CANARY}"}
        assert (server.stats.billed, other.stats.billed, spending(store, claim.run_id).bought) == (2, 2, 4)


def test_the_runs_key_does_not_go_to_a_tasks_address(store, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-operators-own-key-000")
    with FaultServer(text=clever) as other:
        task = several(server, other, api_key_env=None)
        environment, _, _ = buyer(store, other, task=task)
        environment.pull(ONE)
        assert server.stats.keys == {"Bearer no-key-was-given"}


def test_a_tasks_address_elsewhere_must_be_allowed_even_on_the_command_line(store, server, monkeypatch):
    task = several(server, server, api_base="https://example.com/v1")
    for is_trusted in (False, True):
        with pytest.raises(LiveError, match=r"https://example\.com/v1 is not allowed here"):
            buyer(store, server, task=task, keys={SLOT: CANARY, "OWN_KEY": "sk-its-own-000000"}, is_trusted=is_trusted)


def test_a_provider_that_reads_the_machines_own_credentials_is_refused(store, server):
    with pytest.raises(LiveError, match="belongs to no provider that may be called here"):
        buyer(store, server, model="sagemaker/anything")


def test_slots_are_named_after_what_the_configs_say_else_after_the_provider(monkeypatch):
    decoding = [
        {"id": "a", "model": "openai/gpt-4o"},
        {"id": "b", "model": "claude-haiku-4-5"},
        {"id": "c", "model": "gemini/gemini-2.0-flash", "api_key_env": "MY_GEMINI"},
        {"id": "d", "model": "openai/mine", "api_base": "http://127.0.0.1:1/v1"},
    ]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0000000000")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    task = live_task(decoding=decoding)
    assert key_slots(task, LiveSettings()) == {"OPENAI_API_KEY": False, "ANTHROPIC_API_KEY": True, "MY_GEMINI": False}
    switched_off = [{"prompt": f"p{i}", "decoding": "a"} for i in range(3)]
    assert "OPENAI_API_KEY" not in key_slots(live_task(decoding=decoding, excluded=switched_off), LiveSettings())


def test_prices_and_identities_come_from_the_config_before_the_run():
    run = LiveSettings(
        api_base="http://127.0.0.1:2/v1", identity="the run's", usd_per_million_prompt=1, usd_per_million_completion=2
    )
    given = {"usd_per_million_prompt": 3, "usd_per_million_completion": 4, "api_base": "http://127.0.0.1:1/v1"}
    own, other = live_task(decoding=[{"id": "a", "model": "openai/x", **given}, {"id": "b", "model": "openai/x"}]).decoding
    assert endpoint_of(own, run).price.usd(1_000_000, 1_000_000) == pytest.approx(7)
    assert endpoint_of(other, run).price.usd(1_000_000, 1_000_000) == pytest.approx(3)
    assert (identity_of(own, run), identity_of(other, run)) == ("http://127.0.0.1:1/v1", "the run's")
    assert not endpoint_of(own.model_copy(update={"usd_per_million_prompt": None}), LiveSettings()).price.is_known
    assert endpoint_of(other.model_copy(update={"model": "openai/gpt-4o"}), LiveSettings()).price.is_known
