"""One way to put a figure on a page: the chart, its text for screen readers, and its table with a CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pandas as pd
import streamlit as st

from iapo_core.outputs.export import safe_csv

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "iapo"},
}


class Record(Protocol):
    """What every figure is drawn from."""

    alt: str

    def table(self) -> pd.DataFrame:
        """Return the figure's numbers."""
        ...


def theme() -> str:
    """Return "light" or "dark", as the browser shows the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


def show(figure: Any, record: Record, *, key: str) -> None:
    """Draw a figure with its twin."""
    st.plotly_chart(figure, key=key, config=CONFIG, alt=record.alt, theme=None)
    twin(record, key=key)


def show_selectable(figure: Any, record: Record, *, key: str, on_click: Callable[[list[Any]], None] | None = None) -> list[Any]:
    """Draw a figure whose points can be clicked.

    Args:
        figure: What to draw.
        record: What it was drawn from.
        key: Unique on the page.
        on_click: Called with the `customdata` of the chosen points before the page runs again.

    Returns:
        The `customdata` of the points that are chosen.
    """
    react = "rerun" if on_click is None else lambda: on_click(_chosen(st.session_state.get(key)))
    event = st.plotly_chart(figure, key=key, config=CONFIG, alt=record.alt, theme=None, on_select=react, selection_mode="points")
    twin(record, key=key)
    return _chosen(event)


def _chosen(event: Any) -> list[Any]:
    points = event["selection"]["points"] if event else []
    return [_row(point["customdata"]) for point in points if point.get("customdata") is not None]


def _row(data: Any) -> list[Any]:
    """Return one point's `customdata` as a list; a row of a typed array comes back as {"0": ..., "1": ...}."""
    if isinstance(data, dict):
        return [data[key] for key in sorted(data, key=int)]
    return list(data) if isinstance(data, list | tuple) else [data]


def twin(record: Record, *, key: str) -> None:
    """Offer the figure's numbers as a table and as CSV; both are made only when asked for."""
    box = st.expander("Table and CSV", key=f"{key}-twin", on_change="rerun", icon=":material/table_rows:", type="compact")
    if box.open:
        with box:
            st.caption(record.alt)
            frame = record.table()
            st.dataframe(frame, hide_index=True, key=f"{key}-table", height="content" if len(frame) <= 8 else 320)
            st.download_button(
                "Download CSV",
                data=lambda: csv(frame),
                file_name=f"iapo-{key}.csv",
                mime="text/csv",
                key=f"{key}-csv",
                on_click="ignore",
                icon=":material/download:",
                help="The numbers behind this chart.",
            )


def csv(frame: pd.DataFrame) -> bytes:
    """Return CSV in which no cell starts a formula when a spreadsheet opens it."""
    rows = frame.itertuples(index=False, name=None)
    return safe_csv([str(column) for column in frame.columns], rows).encode("utf-8", "surrogatepass")
