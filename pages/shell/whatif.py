"""Budget what-if on the Compare page: the open run replayed with less money and with other seeds, from stored completions."""

from __future__ import annotations

import streamlit as st

from iapo_core.outputs.stability import Stability, draw_stability
from iapo_core.replays import N_REPLAYS, SHARES, Replays, replays
from pages.shell import charts, evidence, figures, session, words
from pages.shell.evidence import Evidence

MOST_BUDGET = 50_000


def draw() -> None:
    """Draw what a smaller budget would have picked."""
    run = session.row_or_showcase()
    if run.config.live is not None:
        st.info(
            "This run bought its completions; replays with less money are for recorded and counted tasks.", icon=":material/info:"
        )
        return
    if run.config.budget > MOST_BUDGET:
        st.info(
            f"This run has more than {MOST_BUDGET:,} completions: replaying it takes too long for a page.", icon=":material/info:"
        )
        return
    found = evidence.of(run)
    st.caption(
        f"Would less money have picked the same? The open run ({words.algorithm(run.config.algorithm)}, "
        f"{run.config.budget:,} completions) is replayed with {len(SHARES)} budgets, once as it was and {N_REPLAYS - 1} times with "
        "other draws of the same training queries. Nothing is bought."
    )
    asked = f"whatif-{run.id}"
    if not st.session_state.get(asked):
        if not st.button("Replay with less money", type="primary", key="whatif-start", icon=":material/replay:"):
            return
        st.session_state[asked] = True
    with st.spinner("Replaying"):
        replayed = _replayed(session.address(), run.id, found)
    st.markdown(f"**{words.escape(finding(replayed))}**")
    context = st.selectbox(
        "Context", range(len(found.contexts)), key="whatif-context", help="Each preference has its own pick.",
        format_func=lambda c: found.context_titles[found.contexts.ids[c]],
    )  # fmt: skip
    with st.container(horizontal=True):
        for b, budget in enumerate(replayed.budgets):
            acr = replayed.utilities[b].mean(axis=1)  # (S,)
            st.metric(
                f"ACR with {budget:,} ({100 * SHARES[b]:.0f} %)", words.number(float(acr.mean())), border=True,
                help=f"Mean over {len(acr)} replays and all contexts, on queries kept aside; they range from "
                f"{words.number(float(acr.min()))} to {words.number(float(acr.max()))}.",
            )  # fmt: skip
    st.dataframe(table(found, replayed, context), hide_index=True, key="whatif-table")
    record = Stability(replayed, figures.labels(found), context)
    with st.container(border=True):
        charts.show(draw_stability(record, charts.theme()), record, key="whatif-stability")


@st.cache_resource(max_entries=8, show_spinner=False)
def _replayed(address: str, run_id: str, _found: Evidence) -> Replays:
    return replays(_found.environment, **_found.config.arguments(_found.environment))


def finding(replayed: Replays) -> str:
    """Say from which share of the budget on the run's own replay picks what the whole budget picks."""
    own = (replayed.rows[:, 0] == replayed.rows[-1, 0]) & (replayed.scales[:, 0] == replayed.scales[-1, 0])  # (B, C)
    n = own.shape[1]
    for b, share in enumerate(SHARES[:-1]):
        if own[b:].all():
            return f"{100 * share:.0f} % of the budget would have picked the same arm in every context."
    n_same = int(own[-2].sum())
    return (
        f"With {100 * SHARES[-2]:.0f} % of the budget the pick would be the same arm in {n_same} of {n} contexts: the last quarter still "
        "changed something."
    )


def table(found: Evidence, replayed: Replays, context: int) -> list[dict[str, object]]:
    """Return one row per budget: what the run itself would have picked for a context."""
    rows: list[dict[str, object]] = []
    for b, budget in enumerate(replayed.budgets):
        p, n = int(replayed.rows[b, 0, context]), int(replayed.scales[b, 0, context])
        is_prompt, is_scale = p == replayed.rows[-1, 0, context], n == replayed.scales[-1, 0, context]
        rows.append(
            {
                "Budget": f"{budget:,} ({100 * SHARES[b]:.0f} %)",
                "Spent": int(replayed.spent[b, 0]),
                "Pick": f"{found.titles[found.environment.candidates[p]]}, N = {n}",
                "Changed": "no" if is_prompt and is_scale else "only N" if is_prompt else "prompt",
                "Utility (queries kept aside)": f"{replayed.utilities[b, 0, context]:.3f}",
            }
        )
    return rows
