"""Compare: algorithms on known tasks, runs of one task, and one run with less money; nothing here buys a completion."""

import streamlit as st

from pages.shell import benches, guard, rivalry, whatif

guard.enter()

ALGORITHMS, RUNS, BUDGET = "Algorithms", "Runs of a task", "Less budget"
CAPTIONS = {
    ALGORITHMS: "Which algorithm finds the better policy for the same completions? Each is run many times on tasks that are recorded, "
    "counted or simulated, every time with other training queries, and judged on the held-out ones. Nothing is bought.",
    RUNS: "What did each run of a task pick for the same money, and how good is that on queries that it never saw?",
    BUDGET: "",
}


def main() -> None:
    """Draw the page."""
    st.title("Compare")
    view = st.segmented_control(
        "Compare",
        list(CAPTIONS),
        default=ALGORITHMS,
        required=True,
        key="compare",
        bind="query-params",
        label_visibility="collapsed",
    )
    if CAPTIONS[view]:
        st.caption(CAPTIONS[view])
    if view == RUNS:
        rivalry.draw()
    elif view == BUDGET:
        whatif.draw()
    else:
        benches.draw()


main()
