"""Runs of one task against each other on the Compare page: same budget, same contexts, judged on queries kept aside."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from iapo_core.errors import PolicyError
from iapo_core.outputs.rivals import Rival, draw_rivals, rivals
from iapo_core.replays import acr_interval
from iapo_core.runs.store import RunRow
from pages.shell import charts, evidence, session, sitemap, tasks, words

MOST_RUNS = 30
_LOOKED_AT = 300
Terms = tuple[int, int, str]  # budget, N_max, contexts


def draw() -> None:
    """Draw the runs of a task that were made on equal terms."""
    known = {key: entry for key, entry in tasks.entries().items() if entry.origin != "live"}
    rows = [row for row in session.store().runs(_LOOKED_AT) if row.config.task in known and row.config.live is None and row.spent]
    if not rows:
        st.info("There is no run to compare yet. Make two with the same budget.", icon=":material/info:")
        st.page_link(sitemap.RUN, label="Set up a run", icon=":material/play_circle:")
        return
    counts = Counter(row.config.task for row in rows)
    left, right = st.columns(2, gap="medium")
    task = left.selectbox(
        "Task", [name for name, _ in counts.most_common()], key="rivals-task", help="Tasks that have runs.",
        format_func=lambda key: f"{known[key].title} ({counts[key]} run{'s' * (counts[key] > 1)})",
    )  # fmt: skip
    mine = [row for row in rows if row.config.task == task]
    groups = Counter(_terms(row) for row in mine)
    terms = right.selectbox(
        "On equal terms", [key for key, _ in groups.most_common()], key=f"rivals-terms-{task}", format_func=lambda key: _named(key, groups),
        help="Runs with the same budget, the same contexts and the same largest N.",
    )  # fmt: skip
    chosen = [row for row in mine if _terms(row) == terms][:MOST_RUNS]
    found = [rival for row in chosen if (rival := _rival(row)) is not None]
    if not found:
        st.info("None of these runs has estimated anything yet.", icon=":material/hourglass_empty:")
        return
    record = rivals(known[task].title, terms[0], found, is_simulated=known[task].is_simulated)
    with st.container(border=True):
        charts.show(draw_rivals(record, charts.theme()), record, key="rivals")
    st.dataframe(
        {
            "Run": [f"/run?run={run.run_id}" for run in record.runs],
            "Algorithm": [run.algorithm for run in record.runs],
            "Seed": [run.seed for run in record.runs],
            "Spent": [run.spent for run in record.runs],
            "ACR (95 %)": [f"{words.number(run.acr.value)} ({words.interval(run.acr.low, run.acr.high)})" for run in record.runs],
            "Picks": [run.picks for run in record.runs],
        },
        hide_index=True,
        key="rivals-runs",
        column_config={"Run": st.column_config.LinkColumn(display_text=r"run=(.*)$", width=120, help="Opens the run.")},
    )
    st.caption(
        "ACR is the mean utility of the picks over the contexts. A seed also decides which queries are kept aside, so runs with the "
        "same seed are judged on the same queries; between seeds part of the difference is the queries'. A bench over many "
        "repetitions says more."
    )


def _terms(row: RunRow) -> Terms:
    contexts = sorted((context.id, sorted(context.weights.items()), context.cost_weight) for context in row.config.contexts)
    return row.config.budget, row.config.n_max, repr(contexts)


def _named(terms: Terms, groups: Counter[Terms]) -> str:
    n = groups[terms]
    text = f"{terms[0]:,} completions, N up to {terms[1]}: {n} run{'s' * (n > 1)}"
    alike = [other for other in groups if other[:2] == terms[:2]]
    return text if len(alike) == 1 else f"{text}, contexts {alike.index(terms) + 1} of {len(alike)}"


def _rival(row: RunRow) -> Rival | None:
    found = evidence.of(row)
    try:
        picks = found.picks
    except PolicyError:
        return None
    return Rival(
        row.id,
        words.algorithm(row.config.algorithm),
        row.config.seed,
        row.spent,
        "; ".join(dict.fromkeys(f"{found.titles[arm.candidate]}, N = {arm.n}" for arm in picks)),
        acr_interval(found.environment, found.contexts, picks),
    )
