"""The Compare page: benches in a process of their own, files of the command line, runs of a task, and replays with less money."""

import pytest

from iapo_core.bench.executors import InProcess
from iapo_core.cli import main
from iapo_core.runs import bench_worker, benches
from iapo_core.runs.bench_files import Progress, root, tell
from tests.pages import tiny


@pytest.fixture
def spawned(monkeypatch):
    """Work on a bench at once in this process, which knows the tasks of the test, and count how often one begins."""
    begun = []

    def spawn(folder):
        begun.append(folder)
        bench_worker.work(folder, InProcess())

    monkeypatch.setattr(benches, "_spawn", spawn)
    return begun


@pytest.fixture
def waiting(monkeypatch):
    """Begin nothing."""
    begun = []
    monkeypatch.setattr(benches, "_spawn", begun.append)
    return begun


def begin(open_page, budgets="40, 80", **query):
    app = open_page("compare", **query)
    app.multiselect(key="compare-tasks").set_value([tiny.VOTE, tiny.BEST])
    app.multiselect(key="compare-algorithms").set_value(["psst", "psst-eb", "oracle"])
    app.text_input(key="compare-budgets").set_value(budgets)
    app.slider(key="compare-runs").set_value(3)
    return app.button(key="compare-start").click().run()


def specs(app):
    return [chart.proto.spec for chart in app.get("plotly_chart")]


def test_an_empty_page_says_what_to_do(open_page):
    app = open_page("compare")
    assert not app.exception
    assert any("No bench was made yet" in info.value for info in app.info)


def test_a_bench_draws_the_headline_and_curves_of_each_task(open_page, spawned):
    app = begin(open_page)
    assert not app.exception
    assert len(spawned) == 1
    assert len(specs(app)) == 6  # headline, ACR and regret of two tasks; no Top-K, so no figure on screening
    (bench_id,) = benches.known()
    assert app.query_params["bench"] in (bench_id, [bench_id])
    again = open_page("compare", bench=bench_id)  # its address brings it back
    assert specs(again) == specs(app)
    begin(open_page)
    assert len(spawned) == 1


def test_five_clicks_begin_one_bench_that_can_be_watched_and_cancelled(open_page, waiting):
    apps = [begin(open_page) for _ in range(5)]
    assert len(waiting) == 1
    app = apps[-1]
    assert not app.exception
    (bench_id,) = benches.known()
    tell(root() / bench_id, Progress("starting", 6, 36, told_at=2e9, started_at=2e9 - 6))
    app.run()
    assert not specs(app)
    assert any("6 of 36 runs, 30 s left" in str(bar.proto) for bar in app.get("progress"))
    app.button(key="bench-cancel").click().run()
    assert (root() / bench_id / "cancel").exists()
    other = open_page("compare")
    other.multiselect(key="compare-tasks").set_value([tiny.VOTE])
    other.button(key="compare-start").click().run()
    assert any("Another bench is being made" in text.value for text in other.text)


def test_a_stopped_bench_shows_what_it_has_and_goes_on(open_page, waiting, monkeypatch):
    begin(open_page)
    (bench_id,) = benches.known()
    benches.cancel(bench_id)
    bench_worker.work(waiting[0], InProcess())
    app = open_page("compare", bench=bench_id)
    assert not app.exception
    assert any("what was made is kept" in text.value for text in app.text)
    monkeypatch.setattr(benches, "_spawn", lambda folder: bench_worker.work(folder, InProcess()))
    app.button(key="bench-resume").click().run()
    assert not app.exception
    assert len(specs(app)) == 6


def test_the_bench_shown_can_be_changed(open_page, spawned):
    begin(open_page, budgets="40")
    begin(open_page, budgets="80")
    second, first = benches.known()
    app = open_page("compare")
    assert app.query_params["bench"] in (second, [second])
    app.selectbox(key=f"bench-shown-{second}").set_value(first).run()
    assert not app.exception
    assert app.query_params["bench"] in (first, [first])
    (root() / first / "request.json").write_text("{}")  # by another version, say
    app = open_page("compare")
    assert not app.exception
    assert specs(app)


def test_what_is_no_bench_is_refused_in_words(open_page, spawned):
    app = begin(open_page, budgets="many")
    assert not app.exception
    assert any("whole number of completions" in text.value for text in app.text)
    assert not spawned
    app = open_page("compare", bench="0123456789ab")
    assert not app.exception
    assert any("There is no bench" in text.value for text in app.text)


def test_several_top_k_give_the_figure_on_screening(open_page, spawned):
    app = open_page("compare")
    app.multiselect(key="compare-algorithms").set_value(["psst", "psst-topk[k=1]"])
    app.text_input(key="compare-budgets").set_value("40, 80")
    app.slider(key="compare-runs").set_value(3)
    app.button(key="compare-start").click().run()
    assert not app.exception
    assert any("The best Top-K is" in spec for spec in specs(app))


def test_a_file_of_the_command_line_is_shown_and_another_refused(open_page, tmp_path):
    out, page = tmp_path / "b.parquet", tmp_path / "b.html"
    small = "synth-bernoulli:1:prompts=4,queries=20,n_max=4"
    command = ["bench", small, "--algorithms", "psst,psst-eb", "--budgets", "40", "--runs", "3", "--executor", "local:1"]
    assert main([*command, "--out", str(out), "--html", str(page)]) == 0
    assert "SIMULATED" in page.read_text(encoding="utf-8")
    app = open_page("compare")
    app.get("file_uploader")[0].set_value((out.name, out.read_bytes(), "application/octet-stream")).run()
    app.button(key="compare-show").click().run()
    assert not app.exception
    assert all("SIMULATED" in spec for spec in specs(app))
    app = open_page("compare")
    app.get("file_uploader")[0].set_value(("x.parquet", b"notes", "application/octet-stream")).run()
    app.button(key="compare-show").click().run()
    assert any("no bench of ours" in text.value for text in app.text)


def test_runs_of_a_task_stand_beside_one_another_at_equal_budget(open_page, make_run):
    app = open_page("compare", compare="Runs of a task")
    assert any("no run to compare" in info.value for info in app.info)
    ids = [make_run(algorithm=name, seed=seed) for name, seed in (("psst", 0), ("psst-eb", 0), ("psst", 1))]
    make_run(budget=480)
    app = open_page("compare", compare="Runs of a task")
    assert not app.exception
    assert len(specs(app)) == 1
    frame = app.dataframe[0].value
    assert sorted(frame["Run"]) == sorted(f"/run?run={one}" for one in ids)
    assert set(frame["Algorithm"]) == {"PSST", "PSST-EB"}
    assert frame["Picks"].str.contains("N = ").all()
    app.selectbox(key=f"rivals-terms-{tiny.VOTE}").select_index(1).run()
    assert len(app.dataframe[0].value) == 1


def test_less_money_is_replayed_from_what_is_stored(open_page, make_run, store):
    run_id = make_run(seed=3)
    app = open_page("compare", compare="Less budget", run=run_id)
    assert not app.exception
    assert not specs(app)
    app.button(key="whatif-start").click().run()
    assert not app.exception
    frame = app.dataframe[0].value
    assert list(frame["Budget"]) == ["60 (25 %)", "120 (50 %)", "180 (75 %)", "240 (100 %)"]
    assert frame["Changed"].iloc[-1] == "no"
    assert frame["Pick"].iloc[-1].endswith(f"N = {store.run(run_id).policy.choices[0].n}")
    assert len(app.metric) == 4
    assert len(specs(app)) == 1
    assert store.run(run_id).spent == 240
