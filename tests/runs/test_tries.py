"""Testing on a few queries: cut, planned, bought once, judged by every scorer; and shared with the runs that come later."""

import math
import time

import numpy as np
import pytest

from iapo_core.environment import split_queries
from iapo_core.environments.recorded import RecordedEnvironment
from iapo_core.errors import LiveError, TaskError
from iapo_core.events import Finished, Planned, Pulled
from iapo_core.optimize import ALGORITHMS, start
from iapo_core.runs import tries, worker
from iapo_core.runs.catalogue import keep_task, task_entry, task_fingerprint, tasks
from iapo_core.runs.config import RunConfig
from iapo_core.runs.ledger import spending
from iapo_core.runs.worker import ensure_finished
from tests.conftest import outcomes_environment, votes_environment
from tests.faults.living import CANARY, SLOT, clever, live_task
from tests.faults.server import FaultServer
from tests.test_environments import recorded_task, recording

JUDGE = {"id": "style", "scorer": "judge"}


@pytest.fixture
def no_worker(monkeypatch):
    monkeypatch.setattr(tries, "start_keyed_worker", resumed)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)
    with FaultServer(text=clever) as running:
        yield running


def task_at(server, model="openai/ok", **changes):
    decoding = [{"id": "d", "model": model, "max_tokens": 8, "api_base": server.base, "api_key_env": SLOT,
                 "usd_per_million_prompt": 1.0, "usd_per_million_completion": 2.0}]  # fmt: skip
    return live_task(**{"decoding": decoding, **changes})


def resumed(store, run_id, keys):
    """What starting a worker does to the run."""
    if not store.run(run_id).is_active:
        store.request(run_id, "resume")


def done(store, task, live=None, keys=None):
    run_id = tries.begin(store, task, live or tries.settings(), keys or {})
    worker.work_keyed(store, run_id, keys or {})
    return store.run(run_id)


@pytest.mark.parametrize("environment", [votes_environment(), outcomes_environment()], ids=lambda e: e.name)
@pytest.mark.parametrize("budget", [1, 5, 64, 1000])
def test_it_pulls_everything_once_within_any_budget(environment, budget):
    planned, pulled, finished = start(environment, algorithm="tryout", budget=budget)
    n_all = len(environment.candidates) * len(environment.split.train)
    assert isinstance(planned, Planned)
    assert isinstance(pulled, Pulled)
    assert isinstance(finished, Finished)
    assert planned.n_completions == pulled.n_completions == finished.spent == min(budget, n_all)
    assert (np.isnan(pulled.mean_costs) == (planned.repeats == 0)).all()
    for choice in finished.policy.choices:  # what was not tried is not picked
        assert choice.n == 1
        assert planned.repeats[environment.candidates.index(choice.candidate)] > 0
    assert "tryout" not in ALGORITHMS


@pytest.mark.parametrize("n_queries", [2, 3, 4, 10, 40])
def test_a_cut_is_a_task_that_asks_what_a_run_would(n_queries):
    task = live_task(n_queries=n_queries, excluded=[{"prompt": "p0", "decoding": "d"}])
    small = tries.cut(task, [1, 0])
    assert [prompt.id for prompt, _ in small.candidates] == ["p1", "p2"]
    tried, aside = tries.tried_queries(small)
    assert (tried, aside) == tries.tried_queries(task)
    train = split_queries(n_queries, 0).train
    assert [query.id for query in tried] == [task.queries[row].id for row in train[:3]]
    assert len(small.queries) == len(tried) + 1
    assert small.n_max == 1
    with pytest.raises(TaskError, match="takes 1 to 3 candidates, not 0"):
        tries.cut(task, [])


def test_a_cut_names_candidates_with_several_configs():
    decoding = [{"id": name, "model": f"openai/{name}"} for name in "ab"]
    task = live_task(decoding=decoding)
    small = tries.cut(task, [0, 3])  # p0 with a, p1 with b
    assert [(p.id, d.id) for p, d in small.candidates] == [("p0", "a"), ("p1", "b")]


def test_the_plan_counts_calls_and_the_most_they_can_cost(store, server):
    task = tries.cut(task_at(server), [0, 1])
    plan = tries.plan(store, task, tries.settings())
    longest = [max(len(p.render(q.fields)[0]["content"]) + 16 for q in task.queries) for p in task.prompts]
    assert (plan.n_completions, plan.n_verdicts) == (6, 0)
    assert plan.worst_usd == pytest.approx(3 * sum(longest) * 1e-6 + 6 * 8 * 2e-6)  # no token is shorter than a byte
    assert 0 < plan.expected_usd < plan.worst_usd
    assert plan.sources == ("the price given in the task",)
    assert plan.unpriced == ()


def test_a_judge_is_planned_with_its_calls(store, server):
    judge = {**JUDGE, "params": {"model": "openai/judge", "usd_per_million_prompt": 1.0, "usd_per_million_completion": 1.0}}
    task = tries.cut(
        task_at(server, strategy="best_of_n", objectives=[judge], contexts=[{"id": "c", "weights": {"style": 1}}]), [0]
    )
    plan = tries.plan(store, task, tries.settings())
    assert (plan.n_completions, plan.n_verdicts) == (3, 3)
    assert plan.worst_usd > 3 * 200 * 1e-6  # three verdicts of up to 200 tokens


def test_an_unknown_price_is_said_and_refuses_a_cap(store, server):
    task = tries.cut(live_task(model="openai/unheard-of"), [0])
    plan = tries.plan(store, task, tries.settings())
    assert math.isnan(plan.worst_usd)
    assert plan.unpriced == ("openai/unheard-of",)
    with pytest.raises(LiveError, match="price of 'openai/unheard-of' is not known, so a dollar cap cannot be kept"):
        tries.plan(store, task, tries.settings(max_usd=1.0))
    with pytest.raises(LiveError, match="an amount above 0, not -1"):
        tries.settings(max_usd=-1.0)


def test_a_test_buys_its_completions_once_and_shows_how_each_was_judged(store, server, no_worker):
    task = task_at(server)
    run = done(store, tries.cut(task, [0, 2]))
    assert (run.state, run.spent) == ("finished", 6)
    assert server.stats.billed == 6
    rows = tries.results(store, run)
    assert [row.candidate for row in rows] == ["p0"] * 3 + ["p2"] * 3
    assert [row.query for row in rows] == 2 * tries.tried_queries(task)[0]
    for row in rows:
        right = row.completion.text == row.query.gold
        assert row.completion.scores == (float(right),)
        assert row.completion.answer == row.completion.text
        assert row.completion.usd == pytest.approx((10 * 1.0 + 2 * 2.0) / 1e6)  # the server's usage at the task's prices
        assert row.completion.latency_s >= 0
        assert right or row.candidate == "p0"  # p2 is always right
    assert tries.usd_per_thousand(rows) == pytest.approx(1000 * 14e-6)
    assert done(store, tries.cut(task, [0, 2])).id == run.id  # pressed again, nothing is bought
    done(store, tries.cut(task, [0]))  # another test of what is there
    assert server.stats.billed == 6


def test_later_runs_find_what_a_test_has_paid_for(store, server, no_worker):
    task = task_at(server)
    done(store, tries.cut(task, [0, 1]))
    task_id = keep_task(task)
    config = RunConfig(task=task_id, task_fingerprint=task_fingerprint(task_id), budget=600, n_max=4, contexts=task.contexts,
                       live=tries.settings())  # fmt: skip
    run_id = store.create_run(config)
    ensure_finished(store, run_id)
    assert store.run(run_id).state == "finished"
    now = spending(store, run_id)
    assert now.reused == 6
    assert server.stats.billed == 6 + now.bought


def test_tests_stand_in_no_list(store, server, no_worker):
    before = [entry.id for entry in tasks()]
    run = done(store, tries.cut(task_at(server), [0]))
    assert store.runs() == []
    assert store.run(run.id).config.algorithm == "tryout"
    assert [entry.id for entry in tasks()] == before
    assert task_entry(run.config.task).origin == "live"
    with pytest.raises(TaskError, match="There is no task 'try-0000000000000000'"):
        task_entry("try-" + "0" * 16)
    with pytest.raises(TaskError, match="There is no task"):
        task_entry("try-../../etc")


def test_a_wrong_model_stops_in_words_and_can_be_tried_again(store, server, no_worker):
    run = done(store, tries.cut(task_at(server, model="openai/404@1"), [0]))
    assert run.state == "failed"
    assert "404" in run.message
    again = done(store, tries.cut(task_at(server, model="openai/404@1"), [0]))
    assert (again.id, again.state) == (run.id, "finished")
    assert server.stats.billed == 3


def test_a_missing_key_stops_in_words_and_nothing_is_sent(store, server, no_worker, monkeypatch):
    monkeypatch.delenv(SLOT)
    run = done(store, tries.cut(task_at(server), [0]))
    assert run.state == "failed"
    assert SLOT in run.message
    assert server.stats.requests == 0


def test_a_typed_key_reaches_the_model_and_no_file(store, server, home, monkeypatch):
    """With a real worker, which takes the key through its pipe."""
    monkeypatch.delenv(SLOT)
    run_id = tries.begin(store, tries.cut(task_at(server), [0]), tries.settings(), {SLOT: CANARY})
    deadline = time.monotonic() + 120
    while store.run(run_id).is_active and time.monotonic() < deadline:
        time.sleep(0.2)
    worker._STARTED[-1].wait(60)
    assert store.run(run_id).state == "finished"
    assert server.stats.keys == {f"Bearer {CANARY}"}
    assert not [path for path in home.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_a_test_does_not_wait_for_a_run_that_a_worker_is_busy_with(store, server):
    run_id = tries.begin(store, tries.cut(task_at(server), [0]), tries.settings(), {})
    assert store.claim("busy elsewhere", 60.0) is None  # no other worker takes it, so none is waited for
    worker._STARTED[-1].wait(120)
    assert store.run(run_id).state == "finished"


def test_a_judges_verdicts_are_bought_once_and_shown(store, server, no_worker):
    server.text = lambda messages, nth: '{"score": 4, "reason": "fine"}' if "You grade" in messages[0]["content"] else "yes"
    where = {"api_base": server.base, "api_key_env": SLOT, "usd_per_million_prompt": 1.0, "usd_per_million_completion": 1.0}
    judge = {**JUDGE, "params": {"model": "openai/ok", **where}}
    changes = {"strategy": "best_of_n", "objectives": [judge], "contexts": [{"id": "c", "weights": {"style": 1}}]}
    task = tries.cut(task_at(server, **changes), [0])
    run = done(store, task)
    assert (run.state, run.message) == ("finished", "")
    assert [row.completion.scores for row in tries.results(store, run)] == [(0.75,)] * 3
    assert server.stats.billed == 6  # three completions and a verdict on each
    assert done(store, tries.cut(task_at(server, **changes, title="The same"), [0])).id == run.id
    assert server.stats.billed == 6


def test_a_failed_completion_is_shown_with_its_error(store, server, no_worker):
    rows = tries.results(store, done(store, tries.cut(task_at(server, model="openai/null@1"), [2])))
    errors = [row for row in rows if row.completion.error]
    assert len(errors) == 1
    assert "answered nothing" in errors[0].completion.error
    assert errors[0].completion.scores == (0.0,)
    assert errors[0].completion.answer is None


def test_a_recording_shows_what_is_stored():
    task = recorded_task()
    environment = RecordedEnvironment(task, recording(task))
    rows = tries.tried(environment, [1])
    assert [row.query.id for row in rows] == [task.queries[i].id for i in environment.split.train[:3]]
    assert {row.candidate for row in rows} == {"p2"}
    assert all(row.completion.latency_s == 0.1 for row in rows)
    assert math.isnan(tries.usd_per_thousand(rows))  # nobody knows the price of this model
    priced = task.model_copy(update={"decoding": (task.decoding[0].model_copy(
        update={"usd_per_million_prompt": 1.0, "usd_per_million_completion": 0.0}),)})  # fmt: skip
    rows = tries.tried(RecordedEnvironment(priced, recording(priced)), [1])
    assert tries.usd_per_thousand(rows) == pytest.approx(1000 * 10 * 1e-6)
