"""Whole live runs against a small server: killed, paused, capped, beside one another; the server's count is the bill."""

import os
import signal
import time

import pytest

from iapo_core import cli
from iapo_core.events import Finished, to_json
from iapo_core.outputs.export import run_policy
from iapo_core.runs.ledger import spending
from tests.faults import dying, test_kills
from tests.faults.living import CANARY, clever, live_config, task_json
from tests.faults.server import FaultServer

PATIENCE_S = 60
LEASE_S = 1.0  # of those that are killed: a stall of a busy machine loses completions as a kill does


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("IAPO_TEST_LIVE_KEY", CANARY)


@pytest.fixture
def server():
    with FaultServer(text=clever, delay_s=0.02) as running:
        yield running


@pytest.fixture
def undisturbed(store, server):
    """A finished run on a ledger of its own address, its bill checked."""
    run_id = store.create_run(live_config(server, identity="undisturbed"))
    finish_it(store, run_id)
    now = spending(store, run_id)
    assert server.stats.requests == server.stats.billed == now.bought <= 120
    return run_id


def finish_it(store, run_id):
    """Work until the run rests, under a lease that no stall outlasts."""
    test_kills.finish_it(store, run_id, lease_s=30.0)


def essence(store, run_id):
    """Events without who paid, and the policy with its held-out estimates."""
    events = [to_json(event) for _, event in store.events(run_id)]
    assert isinstance(store.events(run_id)[-1][1], Finished)
    return events, store.run(run_id).policy


def test_a_run_ends_with_a_pick_and_a_heldout_estimate_within_its_budget(store, undisturbed):
    run = store.run(undisturbed)
    assert (run.state, run.message) == ("finished", "")
    assert {choice.candidate for choice in run.policy.choices} == {"p2"}  # the prompt that is always right
    for choice in run.policy.choices:
        assert choice.estimate.source == "heldout"
        assert choice.estimate.n_queries == 2
        assert choice.estimate.low <= choice.estimate.value <= choice.estimate.high
    assert set(run_policy(run).candidates) >= {"p2"}


def test_a_second_run_pays_for_nothing_that_is_there(store, server, undisturbed):
    before = server.stats.requests
    run_id = store.create_run(live_config(server, identity="undisturbed"))
    finish_it(store, run_id)
    now = spending(store, run_id)
    assert (now.bought, server.stats.requests) == (0, before)
    assert now.reused == spending(store, undisturbed).bought
    assert store.run(run_id).policy == store.run(undisturbed).policy


@pytest.mark.parametrize("n_billed", [1, 30, 70, 100])
def test_kill_9_in_the_middle_ends_with_the_same_pick(store, backend, server, undisturbed, n_billed):
    before = server.stats.billed
    run_id = store.create_run(live_config(server, identity=f"killed-{n_billed}"))
    process = dying.spawn(dying.work_until_idle, backend, LEASE_S)
    until = time.monotonic() + PATIENCE_S
    while server.stats.billed - before < n_billed:
        assert time.monotonic() < until
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL
    assert store.run(run_id).state == "running"
    finish_it(store, run_id)
    assert essence(store, run_id) == essence(store, undisturbed)
    now = spending(store, run_id)
    assert now.lost <= 4
    assert now.bought <= now.cap + now.allowance
    billed = server.stats.billed - before
    assert now.bought - now.lost <= billed <= now.bought  # a lost call may or may not have reached the server


def test_sigterm_waits_for_what_is_in_flight_and_loses_nothing(store, backend, server, undisturbed):
    before = server.stats.billed
    run_id = store.create_run(live_config(server, identity="terminated"))
    process = dying.spawn(dying.work_until_idle, backend, 10.0)
    until = time.monotonic() + PATIENCE_S
    while server.stats.billed - before < 40:
        assert time.monotonic() < until
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGTERM)
    process.join(PATIENCE_S)
    assert process.exitcode == 0
    assert store.run(run_id).state == "queued"
    now = spending(store, run_id)
    assert (now.lost, now.bought) == (0, server.stats.billed - before)
    finish_it(store, run_id)
    assert essence(store, run_id) == essence(store, undisturbed)
    assert spending(store, run_id).bought == server.stats.billed - before == spending(store, undisturbed).bought


def test_pause_rests_and_resume_goes_on(store, backend, server, undisturbed):
    run_id = store.create_run(live_config(server, identity="paused"))
    process = dying.spawn(dying.work_until_idle, backend, 10.0)
    until = time.monotonic() + PATIENCE_S
    while not (now := spending(store, run_id)) or now.bought < 20:
        assert time.monotonic() < until
        time.sleep(0.001)
    store.request(run_id, "pause")
    process.join(PATIENCE_S)
    run, now = store.run(run_id), spending(store, run_id)
    assert (run.state, run.message[:6], now.lost, now.in_flight) == ("stopped", "Paused", 0, 0)
    assert now.bought < spending(store, undisturbed).bought
    store.request(run_id, "resume")
    finish_it(store, run_id)
    assert essence(store, run_id) == essence(store, undisturbed)


def test_a_dollar_cap_stops_a_run_and_keeps_what_it_knows(store, server):
    prices = {"usd_per_million_prompt": 1000.0, "usd_per_million_completion": 1000.0}
    run_id = store.create_run(live_config(server, max_usd=1.0, **prices))
    finish_it(store, run_id)
    run, now = store.run(run_id), spending(store, run_id)
    assert run.state == "stopped"
    assert "dollar cap of 1.0" in run.message
    assert run.policy is not None
    assert now.usd == pytest.approx(0.012 * server.stats.billed)
    assert 0.5 < now.usd <= 1.0


def test_two_workers_pay_once_for_two_runs_of_one_task(store, backend, server):
    ids = [store.create_run(live_config(server)) for _ in range(2)]
    workers = [dying.spawn(dying.work_until_idle, backend, 30.0) for _ in range(2)]
    for process in workers:
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    policies = [store.run(run_id).policy for run_id in ids]
    assert policies[0] is not None
    assert policies[0] == policies[1]
    paid = [spending(store, run_id).bought for run_id in ids]
    assert sum(paid) == server.stats.billed == server.stats.requests <= 120


@pytest.fixture
def task_file(home, tmp_path):
    path = tmp_path / "task.json"
    path.write_text(task_json(model="openai/another"))
    return path


def test_the_command_line_buys_and_says_what_it_bought(server, task_file, tmp_path, capsys):
    command = [
        "run", str(task_file), "--budget", "60", "--model", "openai/ok", "--api-base", server.base,
        "--api-key-env", "IAPO_TEST_LIVE_KEY", "--concurrency", "8", "--price", "1", "2", "--max-usd", "0.5",
        "--out", str(tmp_path / "policy.json"),
    ]  # fmt: skip
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    n_paid = server.stats.billed
    assert 0 < n_paid <= 60
    assert f"{n_paid} completions bought (0 failed, 0 lost), 0 reused, {n_paid * 14e-6:.6f} $" in said
    assert "At most 0.5 $" in said
    assert CANARY not in said + (tmp_path / "policy.json").read_text()
    assert cli.main(command) == 0
    assert f"0 completions bought (0 failed, 0 lost), {n_paid} reused, 0.000000 $" in capsys.readouterr().out
    assert server.stats.requests == n_paid


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--concurrency", "0"], "concurrency"),
        (["--max-usd", "1"], "price of 'openai/another' is not known"),
        (["--api-base", "http://example.com/v1"], "must begin with https"),
        (["--api-base", "https://sk-me@example.com/v1"], "without a key"),
        (["--api-key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["--algorithm", "none"], "no algorithm 'none'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_command_line_refuses_before_it_buys(task_file, capsys, options, words):
    assert cli.main(["run", str(task_file), "--budget", "10", *options]) == 2
    assert words in capsys.readouterr().err


def test_what_the_command_line_names_takes_the_place_of_what_the_task_names(server, home, tmp_path, capsys):
    elsewhere = {
        "id": "d",
        "model": "openai/another",
        "max_tokens": 8,
        "api_base": "https://example.com/v1",
        "api_key_env": "ELSE",
    }
    path = tmp_path / "task.json"
    path.write_text(task_json(decoding=[elsewhere]))
    command = ["run", str(path), "--budget", "20", "--rpm", "60000", "--tpm", "9000000"]
    assert cli.main(command) == 2
    assert "https://example.com/v1 is not allowed here" in capsys.readouterr().err
    own = ["--model", "openai/ok", "--api-base", server.base, "--api-key-env", "IAPO_TEST_LIVE_KEY", "--concurrency", "17"]
    assert cli.main([*command, *own]) == 0
    assert 0 < server.stats.billed_for["ok"] == server.stats.requests <= 20
    assert server.stats.keys == {f"Bearer {CANARY}"}
