"""Scaling curves: how the quality of a few prompts grows with N."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import FloatArray, IntArray
from iapo_core.evaluate import Scores
from iapo_core.outputs.canvas import Labels, figures_of, frame, label_ends, scale_ticks
from iapo_core.outputs.palette import TOKENS, Theme, translucent

_MOST = 6
_Z50 = 0.6745 / 1.96  # the 50 % interval inside the 95 % one


@dataclass(frozen=True, eq=False)
class Scaling:
    """Quality against N for a few prompts.

    Attributes:
        rows: Candidate rows shown, best at their best N first, shape (F,).
        quality: Reward before cost, shape (F, N).
        half_width: Half of the 95 % interval, shape (F, N).
        crossings: N at which the best of the shown prompts changes, with the row that takes over.
    """

    labels: Labels
    context: int
    rows: IntArray
    quality: FloatArray
    half_width: FloatArray
    crossings: tuple[tuple[int, int], ...]

    @property
    def title(self) -> str:
        """The finding."""
        if not len(self.rows):
            return "Nothing was sampled yet"
        first = int(np.argmax(np.where(np.isnan(self.quality[:, 0]), -np.inf, self.quality[:, 0])))
        n, row = self.crossings[-1] if self.crossings else (1, int(self.rows[first]))
        if row == self.rows[first]:
            name = self.labels.candidate(row, 26)
            return f"{name} is best at {'nearly ' if self.crossings else ''}every N"
        return f"{self.labels.candidate(int(self.rows[first]), 22)} is best at N = 1, {self.labels.candidate(row, 22)} from N = {n} on"

    @property
    def alt(self) -> str:
        """The curves in words."""
        return f"Scaling curves of {len(self.rows)} prompts. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per prompt and N."""
        n_max = self.quality.shape[1]
        return pd.DataFrame(
            {
                "prompt": np.repeat([self.labels.candidates[int(p)] for p in self.rows], n_max),
                "N": np.tile(np.arange(1, n_max + 1), len(self.rows)),
                "quality": self.quality.ravel(),
                "± 95 %": self.half_width.ravel(),
            }
        )


def scaling_curves(scores: Scores, context: int, labels: Labels, objective: int | None = None) -> Scaling:
    """Compute the curves under one context's weights, or of one objective alone (then without intervals)."""
    quality = scores.reward[scores.contexts.which[context]] if objective is None else scores.objective_means[objective]
    quality = np.where(scores.is_known, quality, np.nan)
    half = scores.half_width[context] if objective is None else np.full(quality.shape, np.nan)
    best = np.where(np.isnan(quality), -np.inf, quality)
    tops = [int(best[:, k].argmax()) for k in range(best.shape[1]) if np.isfinite(best[:, k]).any()]
    order = [*dict.fromkeys(tops), *np.argsort(-best.max(axis=1)).tolist()]
    rows = np.array([p for p in dict.fromkeys(order) if np.isfinite(best[p]).any()][:_MOST], dtype=int)
    rows = rows[np.argsort(-best[rows].max(axis=1), kind="stable")] if len(rows) else rows
    crossings = tuple((k + 1, tops[k]) for k in range(1, len(tops)) if tops[k] != tops[k - 1])
    return Scaling(labels, context, rows, quality[rows], half[rows], crossings)


def draw_scaling_curves(record: Scaling, theme: Theme) -> go.Figure:
    """Draw the curves with 50 % and 95 % bands, names at their ends, and a mark where the best prompt changes."""
    tokens = TOKENS[theme]
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=f"Context: {record.labels.context(record.context)}. Quality before cost; bands: 50 % and 95 % intervals.",
        height=420,
        x="N, completions per query (log)",
        y="quality",
        is_simulated=record.labels.is_simulated,
        margin={"r": 170},
    )
    n_max = record.quality.shape[1]
    scales = np.arange(1, n_max + 1)
    spare = iter(tokens.prompts)
    ends = []
    for i, p in enumerate(record.rows):
        color = record.labels.hues.get(int(p)) or next((c for c in spare if c not in record.labels.hues.values()), tokens.grey)
        seen = ~np.isnan(record.quality[i])
        along, middle = scales[seen], record.quality[i][seen]
        half = np.nan_to_num(record.half_width[i][seen])
        for share, opacity in ((1.0, 0.07), (_Z50, 0.14)) if i < 3 else ():  # bands of the best three; more would be mud
            figure.add_trace(
                go.Scatter(
                    x=np.r_[along, along[::-1]],
                    y=np.r_[middle + share * half, (middle - share * half)[::-1]],
                    fill="toself",
                    mode="none",
                    fillcolor=translucent(color, opacity),
                    hoverinfo="skip",
                    showlegend=False,
                )
            )
        figure.add_trace(
            go.Scatter(
                x=scales,
                y=record.quality[i],
                mode="lines+markers",
                line={"color": color, "width": 2.2},
                marker={"size": 5, "symbol": i},
                hovertext=[
                    f"{record.labels.candidate(int(p))}, N = {n}<br>quality {figures_of(float(q), float(h))}"
                    for n, q, h in zip(scales, record.quality[i], record.half_width[i], strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
                showlegend=False,
            )
        )
        ends.append((float(middle[-1]), record.labels.candidate(int(p), 22), color))
    for n, _ in record.crossings[:6]:
        figure.add_shape(
            type="line", x0=n, x1=n, yref="paper", y0=0, y1=1, line={"color": tokens.muted, "width": 1, "dash": "dot"}
        )
    shown = record.quality[~np.isnan(record.quality)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    pad = 0.12 * (high - low or 1.0)
    figure.update_yaxes(range=[low - pad, high + pad])
    label_ends(figure, ends, high - low + 2 * pad)
    ticks = scale_ticks(n_max)
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=list(map(str, ticks)))
    return figure
