"""Compare: algorithms against each other on what is known, before any completion is paid for."""

import streamlit as st

from iapo_core.bench.arenas import arena
from iapo_core.bench.executors import InProcess
from iapo_core.bench.spelled import ORACLE, algorithms
from iapo_core.bench.summary import Line, summarise
from iapo_core.bench.sweep import Sweep, budgets, parse_rows
from iapo_core.errors import IapoError
from iapo_core.optimize import ALGORITHMS
from iapo_core.outputs.bench_page import bench_page
from iapo_core.outputs.budgets import budget_curves, draw_budget_curves
from iapo_core.runs import catalogue
from pages.shell import charts, guard, session

guard.enter()

MOST_RUNS = 50
MOST_UPLOAD_MB = 20


def main() -> None:
    """Draw the page."""
    st.title("Compare")
    st.caption(
        "Which algorithm finds the better policy for the same completions? Each is run many times on tasks that are recorded, "
        "counted or simulated, every time with other training queries, and judged on the held-out ones. Nothing is bought."
    )
    here, file = st.tabs(["A small bench here", "A file of `iapo bench`"])
    with here:
        asked = form()
    with file:
        uploaded()
    if asked:
        run(asked)
    if shown := st.session_state.get("compare-lines"):
        draw(shown)


def form() -> tuple[list[str], list[str], str, int] | None:
    """Ask what to compare; returns it when Start is pressed."""
    known = {entry.id: entry for entry in catalogue.tasks() if entry.origin != "live"}
    with st.form("compare-form", border=True):
        tasks = st.multiselect(
            "Tasks", list(known), default=list(known)[:1], key="compare-tasks", format_func=lambda key: known[key].title,
            help="Recorded, counted or simulated ones; live tasks cost money and are left out.",
        )  # fmt: skip
        names = st.multiselect(
            "Algorithms", [*ALGORITHMS, ORACLE], default=["psst", "psst-topk", "psst-eb"], key="compare-algorithms",
            help="The first one is the reference of the paired test.",
        )  # fmt: skip
        left, right = st.columns(2)
        spent = left.text_input("Budgets", "500, 2000", key="compare-budgets", help="Completions, separated by commas.")
        n_runs = right.slider("Runs", 2, MOST_RUNS, 10, key="compare-runs", help="More runs, smaller standard errors.")
        if st.form_submit_button("Start", type="primary", key="compare-start", icon=":material/play_arrow:"):
            return tasks, names, spent, n_runs
    return None


def run(asked: tuple[list[str], list[str], str, int]) -> None:
    """Run the bench in this tab; what is finished is kept, and asked for again it is not run twice."""
    tasks, names, spent, n_runs = asked
    if not tasks or not names:
        st.info("Choose a task and an algorithm.", icon=":material/info:")
        return
    folder = catalogue.data_dir() / "benches"
    folder.mkdir(parents=True, exist_ok=True)
    bar = st.progress(0.0, text="Starting")
    try:
        chosen, amounts = algorithms(",".join(names)), budgets(spent)
        rows = []
        for place, task in enumerate(tasks):
            one = arena(task, catalogue.task_entry(task).path)
            sweep = Sweep((one,), chosen, amounts, n_runs, seed=0)
            total = len(sweep.cells())

            def told(done: int, place: int = place, total: int = total, task: str = task) -> None:
                bar.progress((place + done / total) / len(tasks), text=f"{task}: {done} of {total} runs")

            rows += sweep.finish(folder / f"{one.digest[:24]}.parquet", InProcess(), told)
        st.session_state["compare-lines"] = summarise(rows, chosen[0].label)
    except IapoError as error:
        session.explain(error, "This bench was not finished. Change what is said above and start again.")
    finally:
        bar.empty()


def uploaded() -> None:
    """Show a file that the command line wrote."""
    file = st.file_uploader("Bench", type=["parquet"], max_upload_size=MOST_UPLOAD_MB, key="compare-file")
    st.caption("Made by `iapo bench ENV... --out results.parquet`, which also takes hundreds of runs and several processes.")
    if file and st.button("Show", key="compare-show", icon=":material/bar_chart:"):
        try:
            rows = parse_rows(file, file.name)
            st.session_state["compare-lines"] = summarise(rows, rows[0]["algorithm"])
        except IapoError as error:
            session.explain(error, "Choose a file that iapo bench wrote.")


def draw(lines: list[Line]) -> None:
    """Show a figure per task, and the way to take it along."""
    for i, record in enumerate(budget_curves(lines, lines[0].algorithm)):
        charts.show(draw_budget_curves(record, charts.theme()), record, key=f"compare-{i}")
    st.caption(
        "ACR is the mean value of the chosen arms over all contexts, exact on held-out queries of the task. Regret is the distance "
        "to the policy that is best on the training queries; it can be negative on few held-out queries. The completions are "
        "those **spent**, never those asked for."
    )
    st.download_button(
        "Page with all figures (HTML)", data=lambda: bench_page(lines, [], lines[0].algorithm),
        file_name="iapo-bench.html", mime="text/html",
        key="compare-html", icon=":material/download:",
    )  # fmt: skip


main()
