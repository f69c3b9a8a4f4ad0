"""The door for a count table of the user's own."""

from __future__ import annotations

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.runs import catalogue
from pages.shell import session, tasks


def draw() -> None:
    """Take a count table; the core checks it, and nothing that was given is lost when it refuses."""
    with st.expander("Bring your own count table", icon=":material/upload_file:", key="upload-box"):
        st.caption(
            "A `.npz` file of plain arrays, at most 10 MB: `counts` (prompts, queries, answers), `answers` (queries), "
            "`cost_per_prompt`, `cost_weights` and `n_max`; for Best-of-N `outcomes` and `weights` instead of `answers`."
        )
        name = st.text_input("Name", key="upload-name", max_chars=60, placeholder="my-table", help="Shown in the catalogue.")
        file = st.file_uploader(
            "Count table", type=["npz"], max_upload_size=10, key="upload-file", help="Checked before it is stored."
        )
        if (
            st.button(
                "Check and add",
                key="upload-add",
                icon=":material/fact_check:",
                help="Stores the table if it is in order.",
            )
            and file
        ):
            try:
                added = catalogue.add_table(name.strip() or file.name.removesuffix(".npz"), file.getvalue())
            except IapoError as error:
                session.explain(error, "This table was not added. Correct the file and choose it again.")
            else:
                tasks.want(added)
                st.rerun()
