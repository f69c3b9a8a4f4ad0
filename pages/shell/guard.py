"""The way into a page on a server that has not run `app.py` yet.

Streamlit treats a top-level `pages/` folder as its older kind of multi-page app until `st.navigation` was called once. A link
straight to a page then runs that file alone: no header, no theme of ours, no navigation. Each page therefore calls `enter`
first, which registers the navigation and starts over through `app.py`.
"""

from __future__ import annotations

import streamlit as st

from pages.shell import sitemap

_FLAG = "_came_through_app"


def open_page() -> None:
    """Mark that `app.py` is about to run a page; `enter` uses the mark up."""
    st.session_state[_FLAG] = True


def enter() -> None:
    """Start over through `app.py` unless it is what runs this page."""
    if st.session_state.pop(_FLAG, False):
        return
    sitemap.navigate()
    st.rerun()
