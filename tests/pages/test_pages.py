"""Every page draws, follows its sliders, and answers a bad address with a sentence."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from iapo_core.runs import catalogue
from tests.pages import tiny
from tests.pages.conftest import ROOT, TIMEOUT

PAGES = ("home", "task", "run", "results", "compare", "export")


@pytest.mark.parametrize("page", PAGES)
def test_page_alone_starts_over_through_the_front_door(store, page):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=TIMEOUT).switch_page(f"pages/{page}.py").run()
    assert not app.exception
    assert "No run is open" in words_of(app) or "Real recording" in words_of(app), "the common header is there"
    assert app.title


def words_of(app) -> str:
    """Return everything that is written on the page."""
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.text, app.info, app.warning, app.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


@pytest.mark.parametrize("page", PAGES)
def test_page_draws_with_an_empty_database(open_page, page):
    app = open_page(page)
    assert not app.exception
    assert app.title


@pytest.mark.parametrize("page", ["run", "results", "export"])
def test_unknown_run_gets_a_sentence(open_page, page):
    app = open_page(page, run="nope")
    assert not app.exception
    assert "names a run that is not here" in words_of(app)
    assert "There is no run 'nope'" in words_of(app)


@pytest.mark.parametrize("page", ["run", "results", "export"])
def test_page_shows_the_run_that_the_address_names(open_page, make_run, page):
    run_id = make_run(tiny.BEST)
    app = open_page(page, run=run_id)
    assert not app.exception
    assert "Tiny best" in words_of(app)
    assert app.query_params["run"] == run_id


def test_home_answers_first(open_page):
    app = open_page()
    assert any("Sure" in element.value for element in app.subheader), "the showcase pick stands on the first screen"
    assert len(app.get("plotly_chart")) == 1
    assert "Real recording" in words_of(app)


def test_home_replays(open_page):
    app = open_page()
    app.toggle(key="replay").set_value(True).run()
    assert not app.exception
    assert "frames" in app.get("plotly_chart")[0].proto.spec


def test_home_lists_runs_newest_first(open_page, make_run):
    make_run(tiny.BEST)
    app = open_page()
    table = app.dataframe[-1].value
    assert "Tiny best" in set(table["Task"])
    assert set(table["State"]) == {"Finished"}


def test_run_it_yourself_opens_the_task_on_the_run_page(open_page):
    app = open_page()
    app.button(key="try").click().run()
    assert not app.exception
    assert app.title[0].value == "Set up a run"
    assert app.selectbox(key="task").value == tiny.VOTE


@pytest.mark.parametrize("view", ["Prompts", "Queries", "Objectives and cost", "Contexts", "Provenance"])
def test_task_shows_what_it_is_made_of(open_page, view):
    app = open_page("task", task=tiny.BEST, task_view=view)
    assert not app.exception
    assert app.selectbox(key="task").value == tiny.BEST


def test_prompts_are_code_not_markdown(open_page):
    app = open_page("task", task=tiny.BEST)
    assert [code.value for code in app.code] == ["Explain {topic}."]


def test_refused_upload_says_why_and_keeps_what_was_given(open_page):
    app = open_page("task")
    app.text_input(key="upload-name").set_value("mine")
    app.file_uploader(key="upload-file").upload("mine.npz", b"not a table")
    app.run()
    app.button(key="upload-add").click().run()
    assert not app.exception
    assert "This table was not added" in words_of(app)
    assert app.text_input(key="upload-name").value == "mine"


def test_good_upload_becomes_the_chosen_task(open_page, tmp_path):
    path = tmp_path / "counts.npz"
    rng = np.random.default_rng(0)
    np.savez_compressed(
        path,
        counts=rng.integers(1, 9, (3, 10, 2)),
        answers=np.zeros(10, dtype=int),
        cost_per_prompt=np.full(3, 0.01),
        cost_weights=np.array([0.0, 1.0]),
        n_max=np.array(4),
    )
    app = open_page("task")
    app.text_input(key="upload-name").set_value("mine")
    app.file_uploader(key="upload-file").upload("counts.npz", path.read_bytes())
    app.run()
    app.button(key="upload-add").click().run()
    assert not app.exception
    assert app.selectbox(key="task").value.startswith("mine-")
    assert app.selectbox(key="task").value in {entry.id for entry in catalogue.tasks()}


def test_sliders_change_the_pick_without_a_new_run(open_page, make_run, store):
    run_id = make_run(tiny.BEST)
    app = open_page("results", run=run_id)
    spent = store.run(run_id).spent
    picks = {}
    for simple in (1.0, 0.0):
        app.slider(key="w:simple").set_value(simple)
        app.slider(key="w:complete").set_value(1.0 - simple).run()
        assert not app.exception
        picks[simple] = next(h.value for h in app.subheader if "N \\= " in h.value or "N = " in h.value)
    assert picks[1.0].startswith("Short")
    assert picks[0.0].startswith("Full")
    assert store.run(run_id).spent == spent
    assert len(store.runs()) == 1


def test_all_weights_zero_is_answered(open_page, make_run):
    app = open_page("results", run=make_run(tiny.BEST))
    app.slider(key="w:simple").set_value(0.0)
    app.slider(key="w:complete").set_value(0.0).run()
    assert not app.exception
    assert "nothing counts" in words_of(app)


@pytest.mark.parametrize("view", ["Trade-off", "Who wins where", "Scaling", "Contexts", "Texts", "Guarantee"])
@pytest.mark.parametrize("task", [tiny.VOTE, tiny.BEST])
def test_every_view_of_the_results_draws(open_page, make_run, task, view):
    app = open_page("results", run=make_run(task), view=view)
    assert not app.exception
    assert app.title[0].value == "Results"


@pytest.mark.parametrize("algorithm", ["psst", "psst-eb"])
def test_beside_the_guarantee_stands_how_often_resampled_queries_give_the_same_pick(open_page, make_run, algorithm):
    app = open_page("results", run=make_run(tiny.VOTE, algorithm=algorithm), view="Guarantee")
    assert not app.exception
    assert "When the queries are resampled, the same prompt is picked in" in words_of(app)
    assert ("no guarantee by theorem" in words_of(app)) == (algorithm == "psst-eb")
    shares = next(frame.value for frame in app.dataframe if "Same prompt" in frame.value)
    assert shares["Same prompt"].str.removesuffix("%").astype(int).between(0, 100).all()
    assert len(shares) == len(shares["Context"].unique())


def test_texts_show_real_completions(open_page, make_run):
    app = open_page("results", run=make_run(tiny.VOTE), view="Texts")
    assert "yes" in {code.value for code in app.code} | {code.value for code in app.code[:2]}
    assert any("Votes" in frame.value.columns for frame in app.dataframe)


@pytest.mark.parametrize("data", [[1, 2], (1, 2), {"0": 1, "1": 2}])
def test_a_click_carries_prompt_and_scale_however_the_browser_sends_it(open_page, make_run, data):
    app = open_page("run", run=make_run(tiny.BEST))
    app.session_state["board"] = {"selection": {"points": [{"customdata": data}], "point_indices": [0], "box": [], "lasso": []}}
    app.run()
    assert not app.exception
    assert any(element.value == "**Full, N = 2**" for element in app.markdown)
    app.button(key="board-texts").click().run()
    assert not app.exception


def test_a_clicked_arm_is_the_one_whose_texts_are_read(open_page, make_run):
    app = open_page("results", run=make_run(tiny.BEST), view="Texts")
    app.session_state["clicked-arm"] = ("full", 3)
    app.run()
    assert not app.exception
    assert app.selectbox(key="text-left:tiny-best").value == "full"
    assert app.selectbox(key="text-n-left:tiny-best:4").value == 3
