"""The test on three queries: priced before it is bought, bought once, shown with every score."""

import pytest
from streamlit.testing.v1 import AppTest

from iapo_core.runs import drafts, tries
from iapo_core.runs.catalogue import add_table, keep_task
from iapo_core.runs.worker import work_keyed
from iapo_core.task_file import read_task
from tests.faults.living import CANARY, SLOT, clever, live_task
from tests.faults.server import FaultServer
from tests.pages import tiny
from tests.runs.conftest import table_bytes
from tests.runs.test_tries import resumed


def page():
    import streamlit as st

    from pages.shell import tryout

    tryout.draw(st.session_state["task"])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(SLOT, CANARY)
    monkeypatch.setattr(tries, "start_keyed_worker", resumed)
    with FaultServer(text=clever) as running:
        yield running


@pytest.fixture
def show(store):
    def start(task):
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["task"] = task
        return settled(app.run())

    return start


def settled(app):
    assert not app.exception
    return app


def task_at(server, model="openai/ok", **changes):
    config = {"id": "d", "model": model, "max_tokens": 8, "api_base": server.base, "api_key_env": SLOT}
    prices = {"usd_per_million_prompt": 1000.0, "usd_per_million_completion": 2000.0}
    return live_task(decoding=[config | prices], **changes)


def said(app):
    parts = [*app.caption, *app.text, *app.warning, *app.code]
    return " ".join(part.value for part in parts).replace("\\", "")


def only_run(app, store):
    (run_id,) = {row.id for row in _all_runs(store)}
    return run_id


def _all_runs(store):
    from sqlalchemy import text

    with store._read() as connection:
        return [store.run(row.id) for row in connection.execute(text("SELECT id FROM runs"))]


def test_cost_comes_first_and_every_completion_is_shown_with_its_scores(show, store, server):
    app = show(task_at(server))
    assert "Buys at most 3 completions, less what is stored already" in said(app)
    assert "by the price given in the task" in said(app)
    assert server.stats.requests == 0
    settled(app.button(key="tryout-start").click().run())
    assert app.button(key="tryout-start").disabled
    assert "of 3 completions are here or on their way" in app.get("progress")[0].proto.text
    work_keyed(store, only_run(app, store), {})
    settled(app.run())
    assert server.stats.billed == 3
    frame = app.dataframe[0].value
    assert list(frame.columns) == ["Candidate", "Query", "Vote", "right", "Tokens", "Dollars", "Seconds", "Error"]
    assert list(frame["Candidate"]) == ["p0"] * 3
    assert set(frame["Vote"]) == {"yes"}
    assert set(frame["Tokens"]) == {12}
    assert list(frame["Dollars"]) == [0.014] * 3
    assert app.metric[0].value == "14 $"
    assert [code.value for code in app.code] == ["yes"] * 3
    assert "Tested: these completions are stored" in said(app)
    assert not app.button  # what is there is not bought again


def test_up_to_three_candidates_are_tried_side_by_side(show, store, server):
    app = show(task_at(server))
    settled(app.multiselect[0].set_value([0, 1, 2]).run())
    assert "Buys at most 9 completions" in said(app)
    settled(app.button(key="tryout-start").click().run())
    work_keyed(store, only_run(app, store), {})
    settled(app.run())
    assert sorted(set(app.dataframe[0].value["Candidate"])) == ["p0", "p1", "p2"]
    assert len(app.code) == 9
    settled(app.multiselect[0].set_value([]).run())
    assert "Choose at least one candidate" in said(app)


def test_a_missing_key_is_asked_for_and_never_shown(show, store, server, monkeypatch):
    monkeypatch.delenv(SLOT)
    started = []
    monkeypatch.setattr(tries, "start_keyed_worker", lambda store, run_id, keys: started.append((run_id, keys)))
    app = show(task_at(server))
    assert app.button(key="tryout-start").disabled
    assert app.text_input[0].proto.type == app.text_input[0].proto.PASSWORD
    settled(app.text_input[0].set_value(CANARY).run())
    assert not app.text_input  # what was typed is shown no more
    settled(app.button(key="tryout-start").click().run())
    assert started == [(only_run(app, store), {SLOT: CANARY})]
    assert CANARY not in said(app)


def test_a_cap_without_a_price_is_refused(show, store, server):
    app = show(live_task(model="openai/unheard-of"))
    assert "price of openai/unheard-of is not known, so dollars are not counted" in said(app)
    settled(app.number_input(key="tryout-usd").set_value(1.0).run())
    assert "so a dollar cap cannot be kept" in said(app)
    assert not app.button


def test_a_cap_that_is_none_is_refused_in_words(show, server):
    app = show(task_at(server))
    settled(app.number_input(key="tryout-usd").set_value(0.0).run())
    assert "The dollar cap is an amount above 0, not 0.0" in said(app)
    assert not app.button


def test_a_wrong_model_is_said_and_can_be_tried_again(show, store, server):
    app = show(task_at(server, model="openai/404"))
    settled(app.button(key="tryout-start").click().run())
    work_keyed(store, only_run(app, store), {})
    settled(app.run())
    assert "404" in said(app)
    assert app.button(key="tryout-start").label == "Test it again"
    assert not app.button(key="tryout-start").disabled


def test_a_failed_answer_is_shown_as_one(show, store, server):
    app = show(task_at(server, model="openai/null@1"))
    settled(app.button(key="tryout-start").click().run())
    work_keyed(store, only_run(app, store), {})
    settled(app.run())
    assert "It scores the minimum and votes for nothing" in said(app)
    assert sum(app.dataframe[0].value["Error"] != "") == 1


@pytest.mark.parametrize(("name", "n_texts"), [(tiny.VOTE, 3), (tiny.BEST, 3)])
def test_a_recorded_task_is_read_for_free(show, store, tmp_path, name, n_texts):
    app = show(read_task(tmp_path / "samples" / name))
    assert "looking at them costs nothing" in said(app)
    assert not app.button
    assert len(app.code) == n_texts
    frame = app.dataframe[0].value
    assert list(frame["Tokens"]) == [30 if name == tiny.VOTE else 15] * 3
    # 20 or 5 completion tokens at 0.01 each, times 1,000; no price in dollars is known
    assert app.metric[0].value == ("200" if name == tiny.VOTE else "50")
    assert ("Vote" in app.dataframe[0].value.columns) == (name == tiny.VOTE)


def test_hostile_texts_fetch_nothing(show, store, tmp_path):
    tiny.write_hostile(tmp_path / "samples")
    app = show(read_task(tmp_path / "samples" / tiny.HOSTILE))
    for element in [*app.markdown, *app.caption, *app.expander, *app.metric]:
        shown = getattr(element, "label", "") + str(getattr(element, "value", ""))
        assert "![x](" not in shown
        assert "<img" not in shown


def test_a_simulated_task_has_nothing_to_show(show, store):
    assert "no texts to look at" in said(show(live_task(origin="simulated")))


def test_a_saved_task_is_tested_on_its_page(open_page, store, server):
    task_id = keep_task(task_at(server))
    app = settled(open_page("task", task=task_id, task_view="Test"))
    assert "Buys at most 3 completions" in said(app)
    settled(app.button(key="tryout-start").click().run())
    work_keyed(store, only_run(app, store), {})
    settled(app.run())
    assert "Tested: these completions are stored" in said(app)
    assert server.stats.billed == 3


def test_a_draft_is_tested_once_it_is_a_task(open_page, store, server):
    draft = drafts.of_task(task_at(server))
    draft_id = drafts.keep(draft | {"prompts": []})
    assert "can be tested when nothing is left to do" in " ".join(
        info.value for info in settled(open_page("task", draft=draft_id, edit="Test")).info
    )
    drafts.keep(draft, draft_id)
    app = settled(open_page("task", draft=draft_id, edit="Test"))
    assert "Buys at most 3 completions" in said(app)
    settled(app.button(key="tryout-start").click().run())
    work_keyed(store, only_run(app, store), {})
    settled(app.run())
    assert len(app.dataframe[0].value) == 3
    assert [entry.id for entry in drafts.entries()] == [draft_id]


def test_a_count_table_has_nothing_to_test(open_page, store, tmp_path):
    task_id = add_table("little table.npz", table_bytes(tmp_path))
    assert "no texts to look at" in said(settled(open_page("task", task=task_id, task_view="Test")))
