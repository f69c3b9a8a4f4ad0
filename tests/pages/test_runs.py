"""Setting up, starting, watching and stopping runs."""

import pytest

from iapo_core.runs.worker import ensure_finished
from pages.shell.knobs import DEFAULT_BUDGET
from tests.pages import tiny
from tests.pages.conftest import ROOT
from tests.pages.test_pages import words_of


def test_start_makes_one_run_however_often_it_is_pressed(open_page, store):
    app = open_page("run", task=tiny.VOTE)
    nonce = app.session_state["nonce"]
    app.button(key="start").click().run()
    assert not app.exception
    (run,) = store.runs()
    assert app.query_params["run"] == run.id
    for _ in range(4):  # the clicks that were on their way when the page changed
        again = open_page("run", task=tiny.VOTE)
        again.session_state["nonce"] = nonce
        again.button(key="start").click().run()
    assert [row.id for row in store.runs()] == [run.id]


@pytest.mark.parametrize("way", ["new", "again", "task"])
def test_the_next_form_makes_another_run(open_page, store, way):
    app = open_page("run", task=tiny.VOTE)
    app.button(key="start").click().run()
    (first,) = store.runs()
    ensure_finished(store, first.id)
    app.run()
    if way == "task":
        app.switch_page(str(ROOT / "pages" / "task.py")).run()
        app.button(key="task-run").click().run()
        app.switch_page(str(ROOT / "pages" / "run.py")).run()
    else:
        app.button(key=way).click().run()
    assert app.title[0].value == "Set up a run"
    app.number_input(key="budget").set_value(321).run()
    app.button(key="start").click().run()
    assert not app.exception
    assert {run.config.budget for run in store.runs()} == {DEFAULT_BUDGET, 321}


def test_plan_is_shown_before_anything_is_bought(open_page, store):
    app = open_page("run", task=tiny.VOTE)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Rounds"] == "4"  # 3 prompts x N up to 4 = 12 arms, ceil(log2 12) rounds
    assert metrics["Never more than"] == f"{DEFAULT_BUDGET:,}"
    assert store.runs() == []


def test_the_page_recommends_an_algorithm_for_the_budget(open_page):
    app = open_page("run", task=tiny.VOTE)

    def advice():
        return [caption.value for caption in app.caption if "we recommend" in caption.value]

    app.number_input(key="budget").set_value(100).run()
    assert "PSST-EB" in advice()[0]
    app.number_input(key="budget").set_value(5_000).run()  # 1,250 a round buy 104 pulls of each of 3 prompts at N = 4
    assert advice() == []


def test_slider_and_number_follow_each_other(open_page):
    app = open_page("run", task=tiny.VOTE)
    app.slider(key="budget-slider").set_value(700).run()
    assert app.number_input(key="budget").value == 700
    app.number_input(key="budget").set_value(12_345_6).run()
    assert app.slider(key="budget-slider").value == 20_000


def test_settings_reach_the_run(open_page, store):
    app = open_page("run", task=tiny.BEST)
    app.number_input(key="budget").set_value(77)
    app.slider(key=f"n_max:{tiny.BEST}").set_value(2)
    app.segmented_control(key="algorithm").set_value("psst-topk")
    app.number_input(key="seed").set_value(5)
    app.run()
    app.slider(key="k").set_value(1).run()
    app.button(key="start").click().run()
    assert not app.exception
    config = store.runs()[0].config
    assert (config.budget, config.n_max, config.algorithm, config.options, config.seed) == (77, 2, "psst-topk", {"k": 1}, 5)


def test_own_context_joins_the_table(open_page, store):
    app = open_page("run", task=tiny.BEST)
    app.slider(key="own:simple").set_value(0.35)
    app.slider(key="own:cost").set_value(1.5).run()
    app.button(key="own-add").click().run()
    app.button(key="start").click().run()
    assert not app.exception
    contexts = store.runs()[0].config.contexts
    assert len(contexts) == 3
    assert contexts[-1].weights["simple"] == pytest.approx(0.35)
    assert contexts[-1].cost_weight == pytest.approx(1.5)


def test_context_that_weighs_nothing_is_named_and_start_waits(open_page):
    app = open_page("run", task=tiny.BEST)
    for objective in ("simple", "complete"):
        app.slider(key=f"own:{objective}").set_value(0.0)
    app.slider(key="own:cost").set_value(0.0).run()
    app.button(key="own-add").click().run()
    assert not app.exception
    assert "weighs nothing" in words_of(app)
    assert app.button(key="start").disabled


def test_queued_run_can_be_cancelled_and_resumed(open_page, make_run, store):
    run_id = make_run(is_finished=False)
    app = open_page("run", run=run_id)
    assert app.title[0].value.startswith("Queued")
    app.button(key="cancel").click().run()
    assert store.run(run_id).state == "stopped"
    assert app.title[0].value.startswith("Stopped")
    app.button(key="resume").click().run()
    assert store.run(run_id).state == "queued"
    ensure_finished(store, run_id)
    app.run()
    assert not app.exception
    assert app.title[0].value.startswith("Finished")
    assert {metric.label for metric in app.metric} >= {"Round", "Arms alive", "Spent", "Took", "Reused", "Errors"}
    assert len(app.get("plotly_chart")) == 4


def test_finished_run_comes_back_by_its_address_alone(open_page, make_run):
    app = open_page("run", run=make_run())
    assert app.title[0].value.startswith("Finished: 4 rounds")
    assert not app.exception


def test_failed_run_says_why_and_what_next(open_page, make_run, store):
    run_id = make_run(is_finished=False)
    claim = store.claim("test", 10.0, run_id)
    store.finish(claim, "failed", message="The model is gone; choose another.")
    app = open_page("run", run=run_id)
    assert not app.exception
    assert app.title[0].value == "Failed"
    assert "The model is gone" in words_of(app)
    assert app.button(key="resume")


@pytest.mark.parametrize(("algorithm", "options"), [("psst", {}), ("psst-topk", {"k": 1}), ("psst-eb", {}), ("uniform", {})])
@pytest.mark.parametrize("page", ["run", "results", "export"])
@pytest.mark.parametrize("task", [tiny.VOTE, tiny.BEST])
def test_every_algorithm_can_be_looked_at(open_page, make_run, algorithm, options, page, task):
    app = open_page(page, run=make_run(task, algorithm=algorithm, options=options))
    assert not app.exception


@pytest.mark.parametrize("budget", [1, 3, 7])
def test_a_budget_too_small_for_anything_is_shown_as_it_is(open_page, make_run, budget):
    run_id = make_run(budget=budget)
    for page in ("run", "results", "export"):
        assert not open_page(page, run=run_id).exception


def test_run_again_opens_the_same_settings(open_page, make_run):
    app = open_page("run", run=make_run(tiny.BEST, budget=99))
    app.button(key="again").click().run()
    assert not app.exception
    assert app.title[0].value == "Set up a run"
    assert app.selectbox(key="task").value == tiny.BEST
    assert app.number_input(key="budget").value == 99


def test_results_of_a_stopped_run_say_so(open_page, make_run, store):
    run_id = make_run(is_finished=False)
    store.request(run_id, "cancel")
    app = open_page("results", run=run_id)
    assert not app.exception
    assert "There is nothing to show yet" in words_of(app)
