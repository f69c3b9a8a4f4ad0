"""Benches on the Compare page: asking for one, watching it, and its figures. The work is done by a process of its own."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from iapo_core.bench.cells import Row
from iapo_core.bench.reach import Reach, reaches
from iapo_core.bench.spelled import ORACLE
from iapo_core.bench.summary import Line, summarise
from iapo_core.bench.sweep import parse_rows
from iapo_core.errors import IapoError
from iapo_core.optimize import ALGORITHMS
from iapo_core.outputs.bench_page import bench_page
from iapo_core.outputs.budgets import budget_curves, draw_budget_curves, regret_curves, screening_curves
from iapo_core.outputs.reach import draw_reached, reached
from iapo_core.runs import benches, catalogue
from iapo_core.runs.bench_files import Progress
from pages.shell import charts, session, words

MOST_UPLOAD_MB = 20
CHOICES = [*ALGORITHMS, "psst-topk[k=1]", "psst-topk[k=8]", ORACLE]
_UPLOADED = "compare-uploaded"
STATES = {
    "starting": ("gray", ":material/schedule:", "Starting"),
    "running": ("blue", ":material/play_arrow:", "Running"),
    "finished": ("green", ":material/check:", "Finished"),
    "stopped": ("orange", ":material/stop:", "Stopped"),
    "interrupted": ("orange", ":material/power_off:", "Interrupted"),
    "failed": ("red", ":material/error:", "Failed"),
}


def draw() -> None:
    """Draw the form, the bench that the address names (or the latest), and its figures."""
    here, file = st.tabs(["A bench here", "A file of `iapo bench`"])
    with here:
        _form()
    with file:
        _upload()
    if (uploaded := st.session_state.get(_UPLOADED)) is not None:
        results(uploaded)
        return
    known = benches.known()
    bench_id = st.query_params.get("bench") or (known[0] if known else None)
    if bench_id is None:
        st.info("No bench was made yet. The defaults above take about a minute.", icon=":material/info:")
        return
    try:
        _one(_chosen(bench_id, known))
    except IapoError as error:
        session.explain(error, "This bench cannot be shown.")


def _form() -> None:
    known = {entry.id: entry for entry in catalogue.tasks() if entry.origin != "live"}
    with st.form("compare-form", border=True):
        left, right = st.columns(2, gap="medium")
        tasks = left.multiselect(
            "Tasks", list(known), default=list(known)[:1], key="compare-tasks", format_func=lambda key: known[key].title,
            help="Recorded, counted or simulated ones; live tasks cost money and are left out.",
        )  # fmt: skip
        names = right.multiselect(
            "Algorithms", CHOICES, default=["psst", "psst-topk", "psst-eb", "uniform", ORACLE], key="compare-algorithms",
            help="The first one is the reference of the paired test. Several psst-topk give the figure on screening.",
        )  # fmt: skip
        amounts = left.text_input(
            "Budgets", "250, 500, 1000, 2000", key="compare-budgets",
            help=f"Completions, separated by commas; at most {benches.MOST_BUDGET:,} each.",
        )  # fmt: skip
        n_runs = right.slider(
            "Repetitions", 2, benches.MOST_RUNS, 20, key="compare-runs", help="More of them, smaller standard errors."
        )
        if not st.form_submit_button("Start", type="primary", key="compare-start", icon=":material/play_arrow:"):
            return
    st.session_state.pop(_UPLOADED, None)
    try:
        st.query_params["bench"] = benches.start(benches.request(tasks, names, amounts, n_runs))
    except IapoError as error:
        session.explain(error, "This bench was not started.")


def _upload() -> None:
    file = st.file_uploader("Bench", type=["parquet"], max_upload_size=MOST_UPLOAD_MB, key="compare-file")
    st.caption(
        "Made by `iapo bench ENV... --out results.parquet`, which takes thousands of runs, many processes or a Dask cluster."
    )
    if file and st.button("Show", key="compare-show", icon=":material/bar_chart:"):
        try:
            rows = parse_rows(file, file.name)
            labels = dict.fromkeys(row["algorithm"] for row in rows)
            st.session_state[_UPLOADED] = summary(rows, "psst" if "psst" in labels else next(iter(labels)))
        except IapoError as error:
            session.explain(error, "Choose a file that iapo bench wrote.")


def _chosen(bench_id: str, known: list[str]) -> str:
    """Let the user go to another bench where there are several."""
    if bench_id not in known or len(known) < 2:
        return bench_id
    chosen = st.selectbox(
        "Bench shown", known, index=known.index(bench_id), key=f"bench-shown-{bench_id}", format_func=_named,
        help="The one that was asked for last comes first.",
    )  # fmt: skip
    if chosen != bench_id:
        st.query_params["bench"] = chosen
        st.rerun()
    return bench_id


def _named(bench_id: str) -> str:
    asked = benches.asked_of(bench_id)
    budgets = ", ".join(f"{budget:,}" for budget in asked.budgets)
    names = ", ".join(one.name for one in asked.tasks)
    return f"{names}: {len(asked.algorithms)} algorithms, {asked.n_runs} repetitions, budgets {budgets}"


def _one(bench_id: str) -> None:
    """Draw how a bench stands and what it has."""
    state = benches.progress(bench_id)
    st.query_params["bench"] = bench_id
    color, icon, word = STATES[state.state]
    with st.container(horizontal=True, vertical_alignment="center", key="bench-status"):
        st.badge(word, icon=icon, color=color)
        st.text(_named(bench_id))
        if state.is_active:
            st.button("Cancel", key="bench-cancel", icon=":material/stop:", on_click=benches.cancel, args=(bench_id,))
        elif state.state != "finished" and st.button("Go on", key="bench-resume", icon=":material/play_arrow:"):
            st.query_params["bench"] = benches.go_on(bench_id)
            st.rerun()
    if state.is_active:
        st.fragment(_watch, run_every=1.0)(bench_id, state.state)
        st.caption("You can close this page; the bench goes on, and this address brings you back.")
        return
    if state.message:
        st.text(state.message)
    found = _cached(session.address(), bench_id, state.n_done, state.state)
    if found is None:
        st.info("Nothing was made yet.", icon=":material/hourglass_empty:")
    else:
        results(found)


def _watch(bench_id: str, drawn: str) -> None:
    """Tick until the bench is in another state, then draw the page anew."""
    state = benches.progress(bench_id)
    if state.state != drawn:
        st.rerun()
    st.progress(state.n_done / max(state.n_total, 1), text=_pace(state))


def _pace(state: Progress) -> str:
    left = f", {words.duration(state.left_s)} left" if state.left_s == state.left_s else ""
    return f"{state.n_done:,} of {state.n_total:,} runs{left}"


class Summary(NamedTuple):
    """What a bench says."""

    lines: list[Line]
    found: list[Reach]
    reference: str


def summary(rows: list[Row], reference: str) -> Summary:
    """Summarise rows; the bootstrap takes about a second."""
    return Summary(summarise(rows, reference), reaches(rows, reference), reference)


@st.cache_resource(max_entries=8, show_spinner=False)
def _cached(address: str, bench_id: str, n_done: int, state: str) -> Summary | None:
    rows = benches.rows(bench_id)
    return summary(rows, benches.asked_of(bench_id).algorithms[0]) if rows else None


def results(summed: Summary) -> None:
    """Show the figures per task, and the way to take them along."""
    lines, found, reference = summed
    headlines = reached(found)
    theme = charts.theme()
    for i, record in enumerate(budget_curves(lines, reference)):
        if (headline := headlines.get(record.environment)) is not None:
            with st.container(border=True):
                charts.show(draw_reached(headline, theme), headline, key=f"compare-reach-{i}")
        shown = [record, screening_curves(record), regret_curves(record)]
        columns = iter(st.columns(2, gap="medium") * 2)
        for name, one in zip(("acr", "screening", "regret"), shown, strict=True):
            if one is not None:
                with next(columns), st.container(border=True):
                    charts.show(draw_budget_curves(one, theme), one, key=f"compare-{name}-{i}")
    st.caption(
        "ACR is the mean value of the chosen arms over all contexts, exact on held-out queries of the task. Regret is the distance "
        "to the policy that is best on the training queries; it can be negative on few held-out queries, and such points are left "
        "out of its chart. The completions are those **spent**, never those asked for."
    )
    st.download_button(
        "Page with all figures (HTML)", data=lambda: bench_page(lines, found, reference), file_name="iapo-bench.html",
        mime="text/html", key="compare-html", on_click="ignore", icon=":material/download:",
        help="Opens without a network, in light and dark.",
    )  # fmt: skip
