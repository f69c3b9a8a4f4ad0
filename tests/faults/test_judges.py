"""Judges are paid like completions and counted apart: once per distinct question, within the dollars, by their own cap."""

import json
import signal

import pytest
from sqlalchemy import text

from iapo_core.environments.endpoints import key_slots
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.llm import LlmEnvironment
from iapo_core.environments.stored import StoredEnvironment
from iapo_core.errors import BudgetGoneError, LiveError
from iapo_core.runs.answers import RunAnswers
from iapo_core.runs.catalogue import keep_task, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.ledger import Ledger, spending
from tests.faults import dying
from tests.faults.living import CANARY, SLOT, bare_claim, clever, live_task, settings
from tests.faults.server import FaultServer
from tests.faults.test_kills import PATIENCE_S, finish_it
from tests.faults.test_provider import ONE

PRICES = {"usd_per_million_prompt": 10.0, "usd_per_million_completion": 100.0}  # 10 + 2 tokens a call, judges' too
CALL_USD = 10 * 10e-6 + 2 * 100e-6


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)


def answers(messages, nth):
    """Answers differ by prompt, query and draw, so that there is something to judge; the judge likes even lengths."""
    if "You grade one answer" not in messages[0]["content"]:
        return f"{clever(messages, nth)} {'.' * (nth % 5)}"
    answer = messages[-1]["content"].rpartition("ANSWER:\n")[2]
    return json.dumps({"score": 5 if len(answer) % 2 else 2, "reason": "by its length"})


def stubborn(messages, nth):
    return "I would rather not say." if "You grade one answer" in messages[0]["content"] else answers(messages, nth)


@pytest.fixture
def server():
    with FaultServer(text=answers, delay_s=0.005) as running:
        yield running


def judged_task(model="openai/grader", **changes):
    return live_task(
        strategy="best_of_n",
        objectives=[
            {"id": "right", "scorer": "exact"},
            {"id": "liked", "scorer": "judge", "params": {"model": model}},
        ],
        contexts=[{"id": "plain", "weights": {"right": 1, "liked": 1}}, {"id": "liked", "weights": {"liked": 1}}],
        **changes,
    )


def judged_config(server, identity, task=None, **changes):
    task_id = keep_task(task or judged_task())
    return RunConfig(
        task=task_id,
        task_fingerprint=task_fingerprint(task_id),
        budget=100,
        n_max=4,
        contexts=judged_task().contexts,
        live=settings(server, identity=identity, **{"route": "direct", "deadline_s": 60.0, **PRICES, **changes}),
    )


def environment_of(store, server, cap=100, claim=None, **changes):
    task = judged_task()
    claim = claim or bare_claim(store, task, cap)
    chosen = settings(server, **{"route": "direct", "deadline_s": 60.0, **changes})
    return LlmEnvironment(task, chosen, Ledger(store, claim, chosen, cap=cap, n_judges=1)), claim


def test_a_run_buys_verdicts_counts_them_apart_and_a_second_run_pays_for_none(store, server):
    run_id = store.create_run(judged_config(server, "first"))
    finish_it(store, run_id, 60.0)
    run, now = store.run(run_id), spending(store, run_id)
    assert (run.state, run.message) == ("finished", "")
    assert now.bought == server.stats.billed_for["ok"] <= now.cap == 100
    assert 0 < now.verdicts == server.stats.billed_for["grader"] <= now.bought  # equal completions share a verdict
    assert now.verdict_cap == 100
    assert now.verdict_usd == pytest.approx(CALL_USD * now.verdicts)
    assert now.usd == pytest.approx(CALL_USD * (now.verdicts + now.bought))
    assert (now.unread, now.verdicts_lost) == (0, 0)
    before = server.stats.requests
    again = store.create_run(judged_config(server, "first"))
    finish_it(store, again, 60.0)
    later = spending(store, again)
    assert (later.bought, later.verdicts, later.usd, server.stats.requests) == (0, 0, 0.0, before)
    assert store.run(again).policy == run.policy


def test_scores_are_the_verdicts_and_can_be_read_again(store, server):
    environment, claim = environment_of(store, server)
    outcomes = environment.pull(ONE)
    liked = outcomes.objectives[0, :, 1]
    assert set(liked) <= {0.25, 1.0}  # 2 and 5 of 1 to 5, over the range 0 to 1
    chosen = settings(server, route="direct", deadline_s=60.0)
    stored = StoredEnvironment(judged_task(), chosen, RunAnswers(store, claim.run_id)).pull(ONE)
    assert (stored.objectives == outcomes.objectives).all()
    with store._write() as connection:
        connection.execute(text("DELETE FROM completions WHERE kind = 'verdict'"))
    with pytest.raises(LiveError, match="A verdict of objective 'liked' on query 'q0' is not stored"):
        StoredEnvironment(judged_task(), chosen, RunAnswers(store, claim.run_id)).pull(ONE)


def test_a_verdict_that_cannot_be_read_scores_the_minimum_and_is_counted(store):
    with FaultServer(text=stubborn) as server:
        environment, claim = environment_of(store, server)
        outcomes = environment.pull(ONE)
        assert (outcomes.objectives[0, :, 1] == 0).all()
        assert outcomes.n_failed == 0
        assert spending(store, claim.run_id).unread == 2


def test_a_judge_that_cannot_be_used_stops_the_run_in_words_and_keeps_what_was_bought(store, server):
    run_id = store.create_run(judged_config(server, "refused", judged_task("openai/401")))
    finish_it(store, run_id, 60.0)
    run, now = store.run(run_id), spending(store, run_id)
    assert run.state == "failed"
    assert "openai/401: the key was refused" in run.message
    assert now.bought == server.stats.billed > 0
    assert (now.verdicts, now.verdict_usd) == (0, pytest.approx(0))


def test_the_dollar_cap_holds_for_judges_too(store, server):
    run_id = store.create_run(judged_config(server, "dear", max_usd=0.1))
    finish_it(store, run_id, 60.0)
    run, now = store.run(run_id), spending(store, run_id)
    assert run.state == "stopped"
    assert "dollar cap of 0.1" in run.message
    assert now.verdicts > 0
    assert now.usd == pytest.approx(CALL_USD * server.stats.billed)
    assert now.usd <= 0.1


def test_verdicts_have_a_cap_of_their_own(store, server):
    environment, claim = environment_of(store, server, cap=2)
    environment.pull(ONE)
    answer = environment._held[0, 0][0].answer
    with pytest.raises(BudgetGoneError, match="All 2 verdicts that 2 completions need"):
        environment._verdicts([environment._asked(1, answer, query) for query in (1, 2)])
    now = spending(store, claim.run_id)
    assert now.verdicts == 2 == server.stats.billed_for["grader"]


@pytest.mark.parametrize(("point", "nth"), [("after reserve", 6), ("after call", 30), ("before settle", 12)])
def test_kill_9_among_judge_calls_keeps_both_caps(store, backend, server, point, nth):
    run_id = store.create_run(judged_config(server, "killed"))
    process = dying.spawn(dying.die_buying, backend, point, nth)
    process.join(PATIENCE_S)
    assert process.exitcode == -signal.SIGKILL
    finish_it(store, run_id, 60.0)
    now = spending(store, run_id)
    assert store.run(run_id).state == "finished"
    assert now.bought <= now.cap + now.allowance
    assert now.verdicts <= now.verdict_cap + now.allowance
    assert 0 < now.lost + now.verdicts_lost <= 4
    n_most = now.bought + now.verdicts
    assert n_most - now.lost - now.verdicts_lost <= server.stats.billed <= n_most


def test_a_judges_key_has_its_slot(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert key_slots(judged_task("anthropic/claude-haiku-4-5"), LiveSettings()).keys() == {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
