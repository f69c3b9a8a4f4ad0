"""What all figures share: the frame with its finding, names that fit, and the mark of simulated data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from iapo_core.outputs.palette import TOKENS, Theme

FONT = "Source Sans, Source Sans Pro, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Labels:
    """Names for people, in the order of the rows; escaped here once, because they are other people's text."""

    candidates: tuple[str, ...]
    contexts: tuple[str, ...]
    is_simulated: bool = False
    objectives: tuple[str, ...] = ()
    cost_unit: str = "cost unit"
    hues: Mapping[int, str] = field(default_factory=dict)  # candidate row -> colour of the current theme

    def candidate(self, row: int, most: int = 30) -> str:
        """Return a candidate's name, shortened in the middle, safe in a figure."""
        return escape(shortened(self.candidates[row], most), quote=False)

    def context(self, row: int, most: int = 34) -> str:
        """Return a context's name, shortened in the middle, safe in a figure."""
        return escape(shortened(self.contexts[row], most), quote=False)


def shortened(text: str, most: int) -> str:
    """Cut a long name in the middle, where names differ least."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"


def frame(
    *,
    theme: Theme,
    title: str,
    subtitle: str,
    height: int,
    x: str,
    y: str,
    is_simulated: bool,
    margin: Mapping[str, int] | None = None,
) -> go.Figure:
    """Return an empty figure whose title states the finding and whose subtitle states the method.

    Title and subtitle are taken as they are: names in them must be escaped already.
    """
    tokens = TOKENS[theme]
    figure = go.Figure()
    mark = "SIMULATED. " if is_simulated else ""
    axis: dict[str, Any] = {
        "gridcolor": tokens.grid,
        "zeroline": False,
        "linecolor": tokens.grid,
        "ticks": "outside",
        "tickcolor": tokens.grid,
        "tickfont": {"size": 12, "color": tokens.muted},
        "automargin": True,
    }
    figure.update_layout(
        title={
            "text": f"<b>{title}</b>",
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 6, "l": 4},
            "font": {"size": 15, "color": tokens.text},
            "subtitle": {"text": mark + subtitle, "font": {"size": 12, "color": tokens.chosen if is_simulated else tokens.muted}},
        },
        font={"family": FONT, "size": 12, "color": tokens.text},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        height=height,
        margin={"l": 10, "r": 16, "t": 72, "b": 46, **(margin or {})},
        hoverlabel={
            "bgcolor": tokens.paper,
            "bordercolor": tokens.grid,
            "font": {"color": tokens.text, "size": 12},
            "align": "left",
        },
        legend={"orientation": "h", "y": -0.2, "x": 0, "font": {"size": 12}, "bgcolor": "rgba(0,0,0,0)"},
        xaxis={**axis, "title": {"text": x, "font": {"size": 12, "color": tokens.muted}}},
        yaxis={**axis, "title": {"text": y, "font": {"size": 12, "color": tokens.muted}}},
        dragmode="zoom",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": tokens.muted, "activecolor": tokens.text},
    )
    return figure


def scale_ticks(n_max: int) -> list[int]:
    """Return the inference scales worth a tick: 1, 2, 4, ... and the largest."""
    ticks = [2**i for i in range(n_max.bit_length()) if 2**i <= n_max]
    return ticks if ticks[-1] == n_max or n_max < 1.3 * ticks[-1] else [*ticks, n_max]


def figures_of(value: float, half: float) -> str:
    """Return a figure with its interval, or say that there is none."""
    if value != value:
        return "not sampled"
    return f"{value:.3f} ± {half:.3f}" if half == half else f"{value:.3f} (one query, no interval)"


def joined(names: Sequence[str]) -> str:
    """Join names as prose does."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def label_ends(figure: go.Figure, ends: Sequence[tuple[float, str, str]], span: float) -> None:
    """Write names at the right end of lines, pushed apart so that none covers another; `span` is that of the y axis."""
    ranked = sorted(ends)
    if not ranked:
        return
    least, at = span / 17, -np.inf  # about one line of text
    for value, name, color in ranked:
        at = max(value, at + least)
        figure.add_annotation(
            x=1, xref="paper", y=at, text=name, showarrow=False, xanchor="left", xshift=8, font={"size": 11, "color": color}
        )
