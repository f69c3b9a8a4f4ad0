"""Plan and spend agree: what is said before the start is what the run then does."""

import json

import pytest

from iapo_core.environments.live import LiveSettings
from iapo_core.environments.live_task import LiveTask
from iapo_core.events import Pulled
from iapo_core.optimize import start
from iapo_core.runs.catalogue import task_entry
from iapo_core.runs.ledger import spending
from iapo_core.runs.plan import SpendPlan, dollars_of
from iapo_core.runs.worker import ensure_finished
from iapo_core.task_file import parse_task, read_task
from tests.faults.living import CANARY, SLOT, clever, live_config, task_json
from tests.faults.server import FaultServer

PRICES = {"usd_per_million_prompt": 3.0, "usd_per_million_completion": 11.0}
ONE = (10 * 3.0 + 2 * 11.0) / 1e6  # what the server counts for every answer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)
    with FaultServer(text=clever) as running:
        yield running


def plan_of(store, config):
    task = read_task(task_entry(config.task).path)
    environment = LiveTask(task)
    first = next(start(environment, **config.arguments(environment)))
    live = config.live
    return SpendPlan(
        first, config.budget, config.heldout_budget, live.lost_allowance, live.max_usd, dollars_of(store, task, live)
    )


@pytest.mark.parametrize("budget", [60, 120, 300])
def test_the_run_does_what_the_plan_said(store, server, budget):
    config = live_config(server, budget=budget, **PRICES)
    plan = plan_of(store, config)
    assert not plan.dollars.is_measured.any()
    assert plan.n_first.sum() == plan.first.n_completions
    assert plan.n_most == budget + config.live.concurrency
    run_id = store.create_run(config)
    ensure_finished(store, run_id)
    now = spending(store, run_id)
    pulled = [event for _, event in store.events(run_id) if isinstance(event, Pulled)]
    assert pulled[0].n_completions == plan.first.n_completions
    assert server.stats.billed == now.bought <= budget
    assert now.usd == pytest.approx(now.bought * ONE)
    assert now.usd <= plan.worst_usd
    after = plan_of(store, config)  # the same settings again, when answers are known
    assert after.dollars.is_measured.all()
    assert after.expected_usd == pytest.approx(budget * ONE)
    assert after.worst_usd == plan.worst_usd


def test_caps_bound_the_plan_too(store, server):
    config = live_config(server, max_usd=0.0005, **PRICES)
    plan = plan_of(store, config)
    assert plan.worst_usd == 0.0005
    run_id = store.create_run(config)
    ensure_finished(store, run_id)
    assert spending(store, run_id).usd <= 0.0005


def test_an_unknown_price_is_said(store, server):
    plan = plan_of(store, live_config(server))
    assert plan.dollars.unknown == ("openai/ok",)
    assert plan.worst_usd != plan.worst_usd
    assert plan.can_keep_caps


def test_judges_are_part_of_the_dollars(store, home):
    judge = {"id": "kind", "scorer": "judge", "params": {"rubric": "Is it kind?", "model": "openai/ok", "max_tokens": 16}}
    plain = parse_task(task_json())
    judged = parse_task(task_json(objectives=[*json.loads(task_json())["objectives"], judge]))
    settings = LiveSettings(api_base="http://127.0.0.1:1/v1", api_key_env=SLOT, **PRICES)
    without, with_judge = dollars_of(store, plain, settings), dollars_of(store, judged, settings)
    assert (without.n_judges, with_judge.n_judges) == (0, 1)
    assert (with_judge.worst > without.worst + 16 * 11.0 / 1e6).all()
    assert (with_judge.expected > without.expected).all()
