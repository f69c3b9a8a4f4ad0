"""Load what every page needs once, then keep the collector off it."""

from __future__ import annotations

import gc

import streamlit as st


@st.cache_resource(show_spinner=False)
def freeze_once() -> bool:
    """Import the heavy libraries and move everything alive out of the collector's sight.

    A full collection walks every object of pandas and Plotly, some 100 ms with the interpreter held. Frozen objects are not
    walked. Garbage that pages make later is collected as usual.
    """
    import pandas
    import plotly.graph_objects

    gc.collect()
    gc.freeze()
    return bool(pandas) and bool(plotly.graph_objects)
