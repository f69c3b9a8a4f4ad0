"""Prompts and queries to take along, in the formats that they are read from."""

from __future__ import annotations

from typing import Any

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.reading import Kind
from iapo_core.reading.sheet import FORMATS
from iapo_core.reading.write import write_rows
from pages.shell import words


def draw(kind: Kind, rows: list[dict[str, Any]]) -> None:
    """Offer the rows as a file that reads back as what they are."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        formats = [name for name in FORMATS if kind == "prompts" or name != "TXT"]
        chosen = st.selectbox("Take along as", formats, key=f"{kind}-as", width=180, help="It reads back as what it is now.")
        try:
            content = write_rows(rows, kind, chosen)
        except IapoError as error:
            st.caption(words.escape(str(error)))
            return
        st.download_button(
            "Download",
            data=content.encode("utf-8", "replace"),
            file_name=f"{kind}.{chosen.lower()}",
            mime="text/plain",
            key=f"{kind}-download",
            on_click="ignore",
            icon=":material/download:",
            help=f"The {kind} of this draft.",
        )
