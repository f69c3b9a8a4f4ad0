"""The Compare page runs small benches, shows files of the command line, and refuses others in words."""

from iapo_core.cli import main
from iapo_core.runs import catalogue
from tests.pages import tiny


def begin(open_page, budgets="40, 80"):
    app = open_page("compare")
    app.multiselect(key="compare-tasks").set_value([tiny.VOTE, tiny.BEST])
    app.multiselect(key="compare-algorithms").set_value(["psst", "psst-eb", "oracle"])
    app.text_input(key="compare-budgets").set_value(budgets)
    app.slider(key="compare-runs").set_value(3)
    return app.button(key="compare-start").click().run()


def test_a_small_bench_draws_a_figure_per_task_and_is_kept(open_page):
    app = begin(open_page)
    assert not app.exception
    assert len(app.get("plotly_chart")) == 2
    files = sorted((catalogue.data_dir() / "benches").iterdir())
    assert [file.suffix for file in files] == [".parquet", ".parquet"]
    before = [file.stat().st_size for file in files]
    assert not begin(open_page).exception
    assert [file.stat().st_size for file in files] == before


def test_budgets_that_are_none_are_refused_in_words(open_page):
    app = begin(open_page, budgets="many")
    assert not app.exception
    assert any("whole number of completions" in text.value for text in app.text)
    assert not app.get("plotly_chart")


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
    assert "SIMULATED" in app.get("plotly_chart")[0].proto.spec
    app = open_page("compare")
    app.get("file_uploader")[0].set_value(("x.parquet", b"notes", "application/octet-stream")).run()
    app.button(key="compare-show").click().run()
    assert any("no bench of ours" in text.value for text in app.text)
