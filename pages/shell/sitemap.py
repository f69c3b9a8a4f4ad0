"""The pages in the order of the user's job."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

_FOLDER = Path(__file__).parents[1]
_NAMES = ("home", "task", "run", "results", "compare", "export")
HOME, TASK, RUN, RESULTS, COMPARE, EXPORT = (str(_FOLDER / f"{name}.py") for name in _NAMES)
MARK = Path(__file__).with_name("mark.svg")
WORDMARK = Path(__file__).with_name("wordmark.svg")


def pages() -> list[Page]:
    """Return every page; the navigation shows them in this order.

    No icons: Streamlit would make a page's icon the tab's favicon, and fetch it from a font server.
    """
    return [
        st.Page(
            HOME, title="Home", default=True, help="What this does, a finished run to look at, sample tasks and recent runs."
        ),
        st.Page(
            TASK, title="Task", help="A task's prompts, queries, objectives, costs and contexts. Bring your own count table."
        ),
        st.Page(RUN, title="Run", help="Set the budget, start a run and watch it trim arms round by round."),
        st.Page(
            RESULTS,
            title="Results",
            help="The pick per context with its interval, the trade-offs behind it and the actual texts.",
        ),
        st.Page(
            COMPARE,
            title="Compare",
            help="Algorithms against each other, runs of one task, and what less money would have picked.",
        ),
        st.Page(EXPORT, title="Export", help="Take the policy away as a file and load it in your own code."),
    ]


def navigate() -> Page:
    """Register the pages with Streamlit and return the one that was asked for."""
    return st.navigation(pages(), position="top")
