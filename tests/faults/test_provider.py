"""Every fault of a provider: the run ends in words or goes on with data, and billed <= ledger <= cap + allowance always."""

import asyncio
import contextlib
import io
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import text

from iapo_core.environment import Pulls
from iapo_core.environments.live import Progress, RateLimits
from iapo_core.environments.redact import HIDDEN
from iapo_core.environments.throttle import Pace
from iapo_core.errors import BudgetGoneError, InterruptedPullError, LiveError, StoreError
from iapo_core.runs.ledger import Ledger, spending
from tests.faults import server as faults
from tests.faults.living import CANARY, buyer, clever
from tests.faults.server import FaultServer

ONE = Pulls(np.array([0]), np.array([0]), np.array([2]))
STOPS = {"401", "402", "403", "404", "429-long", "quota", *faults.REDIRECTS}
TEMPORARY = {"409", "429", "429-date", "429-bare", "500", "502", "503", "529"}
UNBILLED_DATA = {"400", "413", "422"}
BILLED_DATA = {
    "408", "504", "reset", "reset-mid-body", "close-mid-body", "hang", "drip", "oversize", "gzip-bomb", "error-in-200",
    *faults.BILLED_BODIES, "no-choices", "null-choices", "no-message", "usage-nan", "usage-strings", "list-content",
}  # fmt: skip
EMPTY = {"null", "filtered", "refusal"}
FINE = {
    "ok", "slow", "echo", "429-once", "n-unsupported", "more-choices", "cut", "surrogate", "other-model", "usage-missing",
    "usage-negative", "usage-huge",
}  # fmt: skip


@pytest.fixture
def server():
    with FaultServer(text=clever) as running:
        yield running


@contextlib.contextmanager
def traceback_to(stream):
    try:
        yield
    except LiveError as error:
        traceback.print_exception(error, file=stream)
        raise


def check_the_bill(store, server, claim):
    now = spending(store, claim.run_id)
    assert server.stats.requests > 0
    assert server.stats.billed <= now.bought <= now.cap + now.allowance
    return now


def test_every_fault_of_the_server_has_its_promise():
    promised = [STOPS, TEMPORARY, UNBILLED_DATA, BILLED_DATA, EMPTY, FINE]
    assert sorted(name for group in promised for name in group) == sorted({*faults.FAULTS, *faults.HARMLESS})


@pytest.mark.parametrize("name", sorted(STOPS | TEMPORARY))
def test_what_was_never_billed_is_given_back_and_the_run_stops_in_words(store, server, name):
    environment, _, claim = buyer(store, server, model=f"openai/{name}", n_tries=2)
    with pytest.raises(LiveError, match=r"What was paid for is kept") as told:
        environment.pull(ONE)
    assert CANARY not in str(told.value)
    now = check_the_bill(store, server, claim)
    assert (now.bought, now.failed, now.lost, server.stats.billed) == (0, 0, 0, 0)
    assert server.stats.requests <= (2 if name in STOPS else 4)


@pytest.mark.parametrize("name", sorted(BILLED_DATA | UNBILLED_DATA | EMPTY))
def test_a_failed_completion_is_data_and_is_never_sent_again(store, server, name):
    environment, _, claim = buyer(store, server, model=f"openai/{name}", deadline_s=0.8)
    began = time.monotonic()
    outcomes = environment.pull(ONE)
    assert time.monotonic() - began < 10
    assert outcomes.n_failed == 2
    assert (outcomes.answers == -1).all()
    now = check_the_bill(store, server, claim)
    assert (now.bought, server.stats.requests) == (2, 2)
    other, _, _ = buyer(store, server, model=f"openai/{name}", deadline_s=0.8)
    again = other.pull(ONE)
    assert (again.n_reused, again.n_failed, server.stats.requests) == (2, 2, 2)


@pytest.mark.parametrize("name", sorted(FINE))
def test_what_can_be_read_is_kept(store, server, name):
    environment, ledger, claim = buyer(store, server, model=f"openai/{name}")
    outcomes = environment.pull(ONE)
    assert outcomes.n_failed == 0
    assert np.isfinite(outcomes.costs).all()
    assert (outcomes.costs > 0).all()
    assert check_the_bill(store, server, claim).bought == server.stats.billed == 2
    key = next(environment.for_run(0)._next(0, 0).key for _ in [0])
    answer = ledger.load([key.cell])[key]
    assert answer.is_counted == (not name.startswith("usage"))
    assert answer.served_model == {"other-model": "somebody-else", "echo": f"Bearer {HIDDEN}"}.get(name, name)
    assert CANARY not in repr(answer)


@pytest.mark.parametrize("name", sorted(TEMPORARY - {"429-long"}))
def test_a_fault_that_passes_is_waited_out(store, server, name):
    environment, _, claim = buyer(store, server, model=f"openai/{name}@1", concurrency=1)
    assert environment.pull(ONE).n_failed == 0
    now = check_the_bill(store, server, claim)
    assert (now.bought, server.stats.billed, server.stats.requests) == (2, 2, 3)


def test_five_billed_failures_in_a_row_break_the_circuit(store, server):
    environment, _, claim = buyer(store, server, model="openai/not-json", concurrency=1)
    with pytest.raises(LiveError, match="failed 5 times in a row"):
        environment.pull(Pulls(np.arange(3), np.arange(3), np.full(3, 4)))
    assert check_the_bill(store, server, claim).failed == server.stats.billed == server.stats.requests == 5


def test_nobody_answers(store, server):
    environment, _, claim = buyer(store, server, api_base="http://127.0.0.1:9/v1")
    with pytest.raises(LiveError, match="no connection"):
        environment.pull(ONE)
    assert spending(store, claim.run_id).bought == 0


def test_the_cap_in_completions_is_never_passed(store, server):
    environment, _, claim = buyer(store, server, cap=7, concurrency=5)
    with pytest.raises(BudgetGoneError, match="All 7 completions"):
        environment.pull(Pulls(np.zeros(5, int), np.arange(5), np.full(5, 4)))
    now = check_the_bill(store, server, claim)
    assert now.bought == server.stats.billed == server.stats.requests == 7
    assert server.stats.max_in_flight <= 5


def test_the_cap_in_dollars_is_never_passed(store, server):
    prices = {"usd_per_million_prompt": 1000.0, "usd_per_million_completion": 1000.0}  # 0.012 $ an answer, some 0.05 at worst
    environment, _, claim = buyer(store, server, concurrency=3, max_usd=0.2, **prices)
    with pytest.raises(BudgetGoneError, match=r"dollar cap of 0\.2"):
        environment.pull(Pulls(np.zeros(10, int), np.arange(10), np.full(10, 4)))
    now = check_the_bill(store, server, claim)
    assert 5 < now.bought == server.stats.billed
    assert now.usd == pytest.approx(0.012 * now.bought)
    assert now.usd <= 0.2


def test_a_dollar_cap_needs_a_price(store, server):
    with pytest.raises(LiveError, match="price of 'openai/ok' is not known"):
        buyer(store, server, max_usd=1.0)


def test_an_interruption_stores_what_is_in_flight_and_the_rest_is_bought_later(store):
    with FaultServer(text=clever, delay_s=0.3) as server:
        environment, _, claim = buyer(store, server, is_leaving=lambda: server.stats.billed > 0)
        pulls = Pulls(np.arange(3), np.arange(3), np.full(3, 4))
        with pytest.raises(InterruptedPullError):
            environment.pull(pulls)
        now = check_the_bill(store, server, claim)
        assert 0 < now.bought == server.stats.billed <= 4
        other, _, _ = buyer(store, server, claim=claim)
        assert other.pull(pulls).n_reused == 0  # this run has paid for all of them
        assert server.stats.requests == server.stats.billed == 12


def test_two_runs_at_once_buy_each_completion_once(store):
    pulls = Pulls(np.repeat(np.arange(3), 5), np.tile(np.arange(5), 3), np.full(15, 4))
    with FaultServer(text=clever, delay_s=0.02) as server:
        buyers = [buyer(store, server, concurrency=8)[0] for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda b: b.pull(pulls), buyers)
        assert server.stats.requests == server.stats.billed == 60
    assert (first.answers == second.answers).all() or (np.sort(first.answers) == np.sort(second.answers)).all()


def test_a_pull_inside_a_running_loop_buys_as_well(store, server):
    environment, _, claim = buyer(store, server, concurrency=2)

    async def notebook():
        return environment.pull(ONE)

    with ThreadPoolExecutor(1) as pool:  # a thread of its own: this one may have a loop already
        outcomes = pool.submit(asyncio.run, notebook()).result()
    assert outcomes.n_failed == 0
    assert check_the_bill(store, server, claim).bought == ONE.sizes.sum()


def test_a_pull_made_while_an_error_is_handled_reads_faults_as_well(store, server):
    environment, _, claim = buyer(store, server, model="openai/500", n_tries=1)
    try:
        raise KeyError("of the caller")
    except KeyError:
        with pytest.raises(LiveError, match="a server error"):
            environment.pull(ONE)
    assert check_the_bill(store, server, claim).bought == 0


def test_lost_completions_count_and_are_replaced_within_the_allowance(store, server):
    environment, ledger, claim = buyer(store, server, cap=8, concurrency=3)
    wanted = [environment.for_run(0)._next(0, q) for q in range(3)]
    assert len(ledger.exchange([], [], wanted, Progress()).keys) == 3  # and here the process dies
    store.finish(claim, "queued")
    later, _, claim = buyer(store, server, cap=8, concurrency=3, claim=store.claim("next", 60.0))
    later.pull(Pulls(np.zeros(2, int), np.arange(2), np.full(2, 4)))
    now = check_the_bill(store, server, claim)
    assert (now.lost, now.bought, server.stats.billed) == (3, 11, 8)
    with pytest.raises(BudgetGoneError, match="and 3 more for 3 that were lost"):
        later.pull(Pulls(np.array([1]), np.array([5]), np.array([1])))


def test_the_key_is_found_nowhere(store, server, home, capfd, caplog):
    for name in ("ok", "400", "500", "401", "error-in-200", "quota", "surrogate"):
        environment, _, _ = buyer(store, server, model=f"openai/{name}", n_tries=1)
        words = io.StringIO()
        with contextlib.suppress(LiveError), traceback_to(words):
            environment.pull(ONE)
        assert CANARY not in words.getvalue()
    assert server.stats.keys == {f"Bearer {CANARY}"}
    said = capfd.readouterr()
    assert CANARY not in said.out + said.err + caplog.text
    files = [path for path in home.rglob("*") if path.is_file()]
    for path in files:
        assert CANARY.encode() not in path.read_bytes(), path


def test_the_operators_key_does_not_go_to_a_users_address(store, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-operators-own-key-000")
    environment, _, _ = buyer(store, server, key=None)
    environment.pull(ONE)
    assert not any("operators" in key for key in server.stats.keys)


def test_an_address_elsewhere_must_be_allowed(store, server, monkeypatch):
    with pytest.raises(LiveError, match="not allowed here"):
        buyer(store, server, api_base="https://example.com/v1")
    monkeypatch.setenv("IAPO_ALLOWED_BASE_URLS", "https://example.com/v1")
    buyer(store, server, api_base="https://example.com/v1")


def test_a_named_variable_must_hold_a_key(store, server, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY_HERE", raising=False)
    with pytest.raises(LiveError, match="NO_SUCH_KEY_HERE is not set"):
        buyer(store, server, key=None, api_key_env="NO_SUCH_KEY_HERE")


@pytest.mark.parametrize("route", ["litellm", "direct"])
def test_a_draw_that_was_marked_lost_while_we_stalled_is_bought_again_within_the_allowance(store, route):
    def stall(messages, nth):
        if nth == 1:  # somebody looks while our lease has run out, and the first answer finds its row lost
            with store._write() as connection:
                connection.execute(text("UPDATE completions SET state = 'lost' WHERE state = 'reserved'"))
        return clever(messages, nth)

    with FaultServer(text=stall) as server:
        environment, _, claim = buyer(store, server, concurrency=1, cap=2, route=route)
        outcomes = environment.pull(ONE)
        assert outcomes.n_failed == 0
        assert (outcomes.answers >= 0).all()
        now = check_the_bill(store, server, claim)
        assert (now.lost, now.bought, server.stats.billed, server.stats.requests) == (1, 3, 3, 3)


def test_answers_in_hand_are_stored_when_the_store_takes_them_again(store, server, monkeypatch):
    environment, _, claim = buyer(store, server, concurrency=2, route="direct")
    exchange, refusals = Ledger.exchange, []

    def refuse_twice(self, answers, released, wanted, progress):
        if server.stats.billed >= 4 and len(refusals) < 2:
            refusals.append(len(wanted))
            raise StoreError("The database refuses (database is locked).")
        return exchange(self, answers, released, wanted, progress)

    monkeypatch.setattr(Ledger, "exchange", refuse_twice)
    pulls = Pulls(np.arange(3), np.arange(3), np.full(3, 4))
    with pytest.raises(StoreError, match="database is locked"):
        environment.pull(pulls)
    assert len(refusals) == 2
    now = check_the_bill(store, server, claim)
    assert now.bought == server.stats.billed == server.stats.requests < 12  # nothing more was bought after the first refusal
    assert len(stored_rows(store)) == now.bought
    buyer(store, server, claim=claim)[0].pull(pulls)
    assert server.stats.requests == server.stats.billed == 12


def stored_rows(store):
    with store._read() as connection:
        return connection.execute(text("SELECT * FROM completions WHERE state = 'settled'")).all()


def test_a_rate_limit_spreads_calls_and_a_stop_does_not_wait_for_it(store, server):
    began = time.monotonic()
    environment, _, claim = buyer(store, server, requests_per_minute=300, route="direct")  # one each fifth of a second
    environment.pull(Pulls(np.array([0]), np.array([0]), np.array([4])))
    assert time.monotonic() - began >= 0.6
    slow, _, _ = buyer(
        store, server, claim=claim, requests_per_minute=1, route="direct", is_leaving=lambda: server.stats.billed > 4
    )
    with pytest.raises(InterruptedPullError):
        slow.pull(Pulls(np.array([1, 2]), np.array([1, 1]), np.array([2, 2])))
    now = check_the_bill(store, server, claim)
    assert (now.bought, now.lost, server.stats.billed) == (5, 0, 5)  # the others had not been sent, and are given back
    assert time.monotonic() - began < 50


def test_tokens_per_minute_are_counted_at_most_and_corrected():
    pace = Pace(RateLimits(tokens_per_minute=600))
    assert pace.wait_s(100) == 0
    assert pace.wait_s(1) == pytest.approx(10, abs=0.1)
    pace.give_back(51)
    assert pace.wait_s(1) == pytest.approx(5, abs=0.1)
    assert Pace(RateLimits()).wait_s(10**9) == 0
