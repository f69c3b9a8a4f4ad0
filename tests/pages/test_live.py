"""The Run page of a run that buys its completions."""

import pytest

from iapo_core.errors import StoreError
from iapo_core.runs.claims import KEYS_GONE
from iapo_core.runs.ledger import spending
from iapo_core.runs.worker import ensure_finished
from tests.faults.living import CANARY, SLOT, clever, live_config
from tests.faults.server import FaultServer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("IAPO_TEST_LIVE_KEY", CANARY)
    with FaultServer(text=clever) as running:
        yield running


def metrics(page):
    return {metric.label: metric.value for metric in page.metric}


def test_a_live_run_shows_what_it_bought_and_its_picks(open_page, store, server):
    run_id = store.create_run(live_config(server, usd_per_million_prompt=1.0, usd_per_million_completion=1.0))
    ensure_finished(store, run_id)
    page = open_page("run", run=run_id)
    now = spending(store, run_id)
    shown = metrics(page)
    assert shown["Bought"] == f"{now.bought} of 120"
    assert shown["Dollars"] == f"{now.usd:.4f} $"
    assert (shown["In flight"], shown["Failed"]) == ("0", "0")
    assert list(page.dataframe[0].value["Prompt"]) == ["p2", "p2"]
    assert page.get("plotly_chart")  # the trim board, as for recorded runs


def test_a_live_run_can_be_paused_and_resumed(open_page, store, server):
    run_id = store.create_run(live_config(server))
    page = open_page("run", run=run_id)
    page.button(key="pause").click().run()
    assert not page.exception
    assert store.run(run_id).state == "stopped"
    page.button(key="resume").click().run()
    assert store.run(run_id).state == "queued"
    ensure_finished(store, run_id)
    assert store.run(run_id).state == "finished"


def test_a_live_run_is_planned_and_started_from_the_page(open_page, store, server):
    task_id = live_config(server).task
    page = open_page("run", task=task_id)
    assert any("price of openai/ok is not known" in warning.value.replace("\\", "") for warning in page.warning)
    page.number_input(key="budget").set_value(120)
    page.number_input(key="price-in").set_value(1.0)
    page.number_input(key="price-out").set_value(1.0)
    page.text_input(key="api-base").set_value(server.base)
    page.text_input(key="api-key-env").set_value("IAPO_TEST_LIVE_KEY").run()
    assert not page.exception
    shown = metrics(page)
    assert (shown["Held-out check"], shown["Never more than"]) == ("24", "136")
    assert any("At most T + R = 120 + 16" in caption.value for caption in page.caption)
    assert any("found in the environment" in caption.value for caption in page.caption)
    warned = "The held-out check may not take place"
    assert not any(warned in caption.value for caption in page.caption)  # 24 completions reach two queries, two picks, N = 4
    page.number_input(key="budget").set_value(30).run()
    (said,) = [caption.value for caption in page.caption if warned in caption.value]
    assert "6 completions are set aside, and one pick at N = 4 needs 8. A budget of 80 does in any case." in said
    page.number_input(key="budget").set_value(120).run()
    page.button(key="start").click().run()
    assert not page.exception
    (run,) = store.runs()
    assert (run.config.budget, run.config.live.api_base) == (120, server.base)
    ensure_finished(store, run.id)
    assert store.run(run.id).state == "finished"
    assert 0 < server.stats.billed <= 120


def test_an_address_elsewhere_is_refused_on_the_page(open_page, server):
    page = open_page("run", task=live_config(server).task)
    page.text_input(key="api-base").set_value("https://example.com/v1").run()
    assert page.button(key="start").disabled
    assert any("not allowed here" in text.value for text in page.text)


@pytest.mark.parametrize("page", ["home", "results", "export", "task"])
def test_other_pages_answer_a_live_run_in_words(open_page, store, server, page):
    run_id = store.create_run(live_config(server))
    ensure_finished(store, run_id)
    shown = open_page(page, run=run_id, task=store.run(run_id).config.task)
    assert not shown.exception


def test_a_typed_key_starts_the_runs_own_worker_and_leaves_the_page(open_page, store, server, monkeypatch):
    monkeypatch.delenv(SLOT)
    handed = []
    monkeypatch.setattr("pages.shell.session.start_keyed_worker", lambda store, run_id, keys: handed.append((run_id, dict(keys))))
    page = open_page("run", task=live_config(server).task)
    page.number_input(key="budget").set_value(120)
    page.text_input(key="api-base").set_value(server.base)
    page.text_input(key="api-key-env").set_value(SLOT).run()
    page.button(key="start").click().run()
    assert any(f"The key for {SLOT} is missing" in text.value for text in page.text)
    assert not store.runs()
    page.text_input(key=f"key-of-{SLOT}").set_value(CANARY).run()
    assert any("typed, held for this session alone" in caption.value for caption in page.caption)
    page.button(key="start").click().run()
    assert not page.exception
    (run,) = store.runs()
    assert handed == [(run.id, {SLOT: CANARY})]
    assert run.needs_keys
    assert CANARY not in run.config.model_dump_json()
    assert not any(
        CANARY in str(part.value) for part in [*page.text_input, *page.caption, *page.text, *page.markdown, *page.code]
    )


def test_a_run_whose_key_has_gone_asks_for_it_and_goes_on(open_page, store, server, monkeypatch):
    monkeypatch.delenv(SLOT)
    handed = []
    monkeypatch.setattr("pages.shell.session.start_keyed_worker", lambda store, run_id, keys: handed.append(dict(keys)))
    run_id = store.create_run(live_config(server), needs_keys=True)
    claim = store.claim("w", 60.0, run_id, holds_keys=True)
    store.finish(claim, "stopped", message=KEYS_GONE)
    page = open_page("run", run=run_id)
    assert any("needs its key again" in markdown.value for markdown in page.markdown)
    page.button(key="resume").click().run()
    assert any(f"The key for {SLOT} is missing" in text.value for text in page.text)
    assert not handed
    page.text_input(key=f"key-of-{SLOT}").set_value(CANARY).run()
    page.button(key="resume").click().run()
    assert handed == [{SLOT: CANARY}]


def test_keys_of_the_secrets_file_are_taken_from_there(open_page, store, server, monkeypatch):
    monkeypatch.delenv(SLOT)
    monkeypatch.setattr("pages.shell.keys._secrets", lambda: {SLOT: CANARY})
    handed = []
    monkeypatch.setattr("pages.shell.session.start_keyed_worker", lambda store, run_id, keys: handed.append(dict(keys)))
    page = open_page("run", task=live_config(server).task)
    page.text_input(key="api-base").set_value(server.base)
    page.text_input(key="api-key-env").set_value(SLOT).run()
    assert any("found in the secrets" in caption.value for caption in page.caption)
    page.button(key="start").click().run()
    assert handed == [{SLOT: CANARY}]


def test_a_dollar_cap_without_a_price_does_not_start(open_page, server):
    page = open_page("run", task=live_config(server).task)
    page.text_input(key="api-base").set_value(server.base)
    page.number_input(key="max-usd").set_value(1.0).run()
    assert page.button(key="start").disabled
    assert any("take the dollar cap away" in warning.value for warning in page.warning)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("max-usd", 0.0, "The dollar cap cannot be used: Input should be greater than 0 (got 0.0)."),
        ("max-usd", -3.0, "The dollar cap cannot be used: Input should be greater than 0 (got -3.0)."),
        ("price-in", -1.0, "The price of prompt tokens cannot be used: Input should be greater than or equal to 0 (got -1.0)."),
        ("concurrency", 0, "The number of calls at once cannot be used: Input should be greater than or equal to 1 (got 0)."),
        ("rpm", 0, "The requests per minute cannot be used"),
        ("allowance", -1, "R cannot be used: Input should be greater than or equal to 0 (got -1)."),
        ("budget", 0, "A budget is a whole number of completions from 1 to 10,000,000, not 0; nothing can be started"),
        ("budget", -5, "A budget is a whole number of completions from 1 to 10,000,000, not -5"),
        ("budget", 10**8, "A budget is a whole number of completions from 1 to 10,000,000, not 100,000,000"),
    ],
)
def test_a_number_that_cannot_be_is_refused_in_words_and_starts_nothing(open_page, server, field, value, words):
    page = open_page("run", task=live_config(server).task)
    page.number_input(key=field).set_value(value).run()
    assert not page.exception
    assert any(words in error.value.replace("\\", "") for error in page.error), [error.value for error in page.error]
    assert not [button for button in page.button if button.key == "start" and not button.disabled]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("api-key-env", CANARY, "The key's environment variable cannot be used: give the name of an environment variable"),
        ("api-base", f"https://user:{CANARY}@example.org/v1", "The base URL cannot be used: the base URL is an http"),
    ],
)
def test_a_key_in_the_wrong_field_is_refused_and_not_repeated(open_page, server, field, value, words):
    page = open_page("run", task=live_config(server).task)
    page.text_input(key=field).set_value(value).run()
    assert not page.exception
    said = [error.value.replace("\\", "") for error in page.error]
    assert any(words in one for one in said), said
    assert not any(CANARY in one for one in said)
    assert not [button for button in page.button if button.key == "start" and not button.disabled]


def test_a_database_that_refuses_fails_no_status_line(open_page, store, server, monkeypatch):
    def refuse(*_):
        raise StoreError("The database refuses.")

    monkeypatch.setattr("pages.shell.header.spending", refuse)
    page = open_page("export", run=store.create_run(live_config(server)))
    assert not page.exception
