"""Export: take the policy away as a file, and load it in your own code."""

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.outputs import export
from pages.shell import evidence, guard, session, sitemap

guard.enter()


def main() -> None:
    """Draw the page."""
    run = session.row_or_showcase()
    found = evidence.of(run)
    st.title("Export")
    try:
        policy = export.deployable(found.policy, found)
    except IapoError as error:
        session.explain(error, "There is no policy to export yet.")
        st.page_link(sitemap.RUN, label="Back to the run", query_params={"run": run.id})
        return
    del policy, header, tasks, words, csv


main()
