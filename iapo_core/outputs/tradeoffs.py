"""What quality costs: the Pareto front across inference scales, front by front for each N, and hypervolume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from iapo_core.arms import Arm, FloatArray, IntArray
from iapo_core.evaluate import Scores
from iapo_core.fronts import hypervolume, knee, pareto_front
from iapo_core.outputs.canvas import Labels, figures_of, frame, scale_ticks
from iapo_core.outputs.palette import TOKENS, Theme


@dataclass(frozen=True, eq=False)
class Fronts:
    """Cost against quality of every arm under one context's objective weights.

    Attributes:
        cost: Per query, shape (P, N).
        quality: Reward before cost, nan where unsampled, shape (P, N).
        half_width: Half of its 95 % interval, shape (P, N).
        front: Flat arm indices on the front, by rising cost.
        knee: Position of the knee on the front.
        volume: Hypervolume of all arms with at most N completions, relative to all, shape (N,).
        pick: Candidate row and N of this context's pick.
        cost_weight: The current weight of cost.
    """

    labels: Labels
    cost: FloatArray
    quality: FloatArray
    half_width: FloatArray
    front: IntArray
    knee: int
    volume: FloatArray
    pick: tuple[int, int]
    cost_weight: float
    source: str

    @property
    def title(self) -> str:
        """The finding."""
        if not len(self.front):
            return "Nothing was sampled yet"
        n_prompts = len(set((self.front // self.cost.shape[1]).tolist()))
        p, k = divmod(int(self.front[self.knee]), self.cost.shape[1])
        prompts = "One prompt makes" if n_prompts == 1 else f"{n_prompts} prompts take turns on"
        return f"{prompts} the front; returns diminish after {self.labels.candidate(p)}, N = {k + 1}"

    @property
    def alt(self) -> str:
        """The front in words."""
        return f"Pareto front of {len(self.front)} arms. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per sampled arm."""
        n_max = self.cost.shape[1]
        on_front = np.zeros(self.cost.size, dtype=bool)
        on_front[self.front] = True
        rows = pd.DataFrame(
            {
                "prompt": np.repeat(self.labels.candidates, n_max),
                "N": np.tile(np.arange(1, n_max + 1), len(self.cost)),
                "cost per query": self.cost.ravel(),
                "quality": self.quality.ravel(),
                "± 95 %": self.half_width.ravel(),
                "on the front": on_front,
            }
        )
        return rows[rows["quality"].notna()].reset_index(drop=True)


def fronts_across_scales(scores: Scores, context: int, labels: Labels, pick: Arm) -> Fronts:
    """Compute the fronts for one context's weights."""
    n_max = scores.q.shape[2]
    cost = scores.mean_costs[:, None] * np.arange(1, n_max + 1)
    quality = np.where(scores.is_known, scores.reward[scores.contexts.which[context]], np.nan)
    cost = np.where(np.isnan(quality), np.nan, cost)
    front = pareto_front(cost.ravel(), quality.ravel())
    reference = (float(np.nanmax(cost)) * 1.01, float(np.nanmin(quality)) - 1e-9) if len(front) else (1.0, 0.0)
    volumes = np.array(
        [hypervolume(cost[:, :k].ravel(), quality[:, :k].ravel(), reference=reference) for k in range(1, n_max + 1)]
    )
    return Fronts(
        labels=labels,
        cost=cost,
        quality=quality,
        half_width=scores.half_width[context],
        front=front,
        knee=knee(cost.ravel()[front], quality.ravel()[front]) if len(front) else 0,
        volume=volumes / volumes[-1] if volumes[-1] > 0 else volumes,
        pick=(scores.candidates.index(pick.candidate), pick.n),
        cost_weight=float(scores.contexts.cost_weights[context]),
        source="what this run drew" if scores.source == "train" else "held-out queries",
    )


def draw_fronts(record: Fronts, theme: Theme) -> go.Figure:
    """Draw all arms, each prompt's path over N, the front, its knee, and the line of equal utility through the pick."""
    tokens = TOKENS[theme]
    n_max = record.cost.shape[1]
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=f"Quality before cost, from {record.source}. Thin lines: one prompt from N = 1 up; thick: the front.",
        height=470,
        x=f"cost per query ({record.labels.cost_unit}, log)",
        y="quality",
        is_simulated=record.labels.is_simulated,
    )
    gap = np.full((len(record.cost), 1), np.nan)
    figure.add_trace(
        go.Scatter(
            x=np.hstack([record.cost, gap]).ravel(),
            y=np.hstack([record.quality, gap]).ravel(),
            mode="lines",
            hoverinfo="skip",
            line={"color": tokens.grey, "width": 0.8},
            showlegend=False,
        )
    )
    seen = ~np.isnan(record.quality)
    rows, columns = np.nonzero(seen)
    figure.add_trace(
        go.Scatter(
            x=record.cost[seen],
            y=record.quality[seen],
            mode="markers",
            marker={
                "size": 6,
                "color": np.log2(columns + 1),
                "colorscale": [(i / 5, color) for i, color in enumerate(tokens.steps[2:])],
                "cmin": 0,
                "cmax": float(np.log2(max(n_max, 2))),
                "colorbar": {
                    "title": {"text": "N", "font": {"size": 11, "color": tokens.muted}},
                    "thickness": 10,
                    "outlinewidth": 0,
                    "tickvals": [float(np.log2(n)) for n in scale_ticks(n_max)],
                    "ticktext": [str(n) for n in scale_ticks(n_max)],
                    "tickfont": {"size": 11, "color": tokens.muted},
                },
            },
            customdata=np.column_stack([rows, columns + 1]),
            hovertext=[_hover(record, int(p), int(k)) for p, k in zip(rows, columns, strict=True)],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
            unselected={"marker": {"opacity": 1}},
        )
    )
    front = record.front
    figure.add_trace(
        go.Scatter(
            x=record.cost.ravel()[front],
            y=record.quality.ravel()[front],
            mode="lines",
            hoverinfo="skip",
            name="Pareto front",
            line={"color": tokens.text, "width": 2.5, "shape": "hv"},
        )
    )
    if len(front):
        at = int(front[record.knee])
        figure.add_trace(
            go.Scatter(
                x=[record.cost.ravel()[at]],
                y=[record.quality.ravel()[at]],
                mode="markers",
                name="knee",
                hoverinfo="skip",
                marker={"symbol": "diamond-open", "size": 15, "color": tokens.text, "line": {"width": 2}},
            )
        )
    p, n = record.pick
    x, y = float(record.cost[p, n - 1]), float(record.quality[p, n - 1])
    if y == y:
        spread = np.geomspace(np.nanmin(record.cost), np.nanmax(record.cost), 60)
        level = y - record.cost_weight * x + record.cost_weight * spread
        inside = (level >= np.nanmin(record.quality) - 0.02) & (level <= np.nanmax(record.quality) + 0.02)
        figure.add_trace(
            go.Scatter(
                x=spread[inside],
                y=level[inside],
                mode="lines",
                hoverinfo="skip",
                name=f"equal utility, cost weight {record.cost_weight:g}",
                line={"color": tokens.chosen, "width": 1.2, "dash": "dash"},
            )
        )
        figure.add_trace(
            go.Scatter(
                x=[x],
                y=[y],
                mode="markers",
                name=f"pick: {record.labels.candidate(p, 20)}, N={n}",
                hoverinfo="skip",
                marker={"symbol": "star", "size": 17, "color": tokens.chosen, "line": {"width": 1, "color": tokens.paper}},
            )
        )
    _log_axis(figure, record.cost)
    return figure


def draw_fronts_by_scale(record: Fronts, theme: Theme) -> go.Figure:
    """Draw one small panel per N on common axes with the overall front ghosted, and hypervolume against N."""
    tokens = TOKENS[theme]
    n_max = record.cost.shape[1]
    ticks = scale_ticks(n_max)
    scales = ticks if len(ticks) <= 6 else [*ticks[:5], ticks[-1]]
    base = frame(
        theme=theme,
        title=f"{record.volume[min(3, n_max - 1)]:.0%} of the front's area is reached with N up to {min(4, n_max)}",
        subtitle="One panel per N, same axes, thin line: front over all N. Last panel: area under the front (hypervolume) by N.",
        height=270,
        x="",
        y="",
        is_simulated=record.labels.is_simulated,
    )
    figure = make_subplots(
        rows=1, cols=len(scales) + 1, horizontal_spacing=0.022, subplot_titles=[*(f"N = {n}" for n in scales), "area by N"]
    )
    layout = base.layout.to_plotly_json()
    axis = {key: value for key, value in layout["xaxis"].items() if key not in ("title", "automargin")}
    for name in ("xaxis", "yaxis"):
        layout.pop(name)
    figure.update_layout(layout)
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    front_x, front_y = record.cost.ravel()[record.front], record.quality.ravel()[record.front]
    low, high = float(np.nanmin(record.quality)), float(np.nanmax(record.quality))
    pad = 0.05 * (high - low or 1.0)
    for column, n in enumerate(scales, start=1):
        figure.add_trace(
            go.Scatter(
                x=front_x, y=front_y, mode="lines", line={"color": tokens.grey, "width": 1, "shape": "hv"}, hoverinfo="skip"
            ),
            row=1,
            col=column,
        )
        figure.add_trace(
            go.Scatter(
                x=record.cost[:, n - 1],
                y=record.quality[:, n - 1],
                mode="markers",
                marker={"size": 6, "color": tokens.steps[5]},
                hovertext=[_hover(record, p, n - 1) for p in range(len(record.cost))],
                hovertemplate="%{hovertext}<extra></extra>",
            ),
            row=1,
            col=column,
        )
        figure.update_xaxes(type="log", range=_log_range(record.cost), showticklabels=False, row=1, col=column)
        figure.update_yaxes(range=[low - pad, high + pad], showticklabels=column == 1, row=1, col=column)
    last = len(scales) + 1
    figure.add_trace(
        go.Scatter(
            x=np.arange(1, n_max + 1),
            y=record.volume,
            mode="lines",
            line={"color": tokens.text, "width": 2},
            hovertemplate="N up to %{x}: %{y:.1%}<extra></extra>",
        ),
        row=1,
        col=last,
    )
    figure.update_yaxes(range=[0, 1.05], tickformat=".0%", side="right", row=1, col=last)
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=list(map(str, ticks)), row=1, col=last)
    figure.update_layout(showlegend=False, margin={"t": 96, "b": 30, "l": 40, "r": 46})
    figure.update_annotations(font={"size": 12, "color": tokens.muted})
    return figure


def _hover(record: Fronts, p: int, k: int) -> str:
    figures = figures_of(float(record.quality[p, k]), float(record.half_width[p, k]))
    return f"<b>{record.labels.candidate(p)}</b>, N = {k + 1}<br>quality {figures}<br>cost per query {record.cost[p, k]:.4f}"


def _log_range(cost: FloatArray) -> list[float]:
    positive = cost[np.isfinite(cost) & (cost > 0)]
    if not len(positive):
        return [-1.0, 0.0]
    return [float(np.log10(positive.min())) - 0.06, float(np.log10(positive.max())) + 0.06]


def _log_axis(figure: go.Figure, cost: FloatArray) -> None:
    low, high = _log_range(cost)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [step * 10.0**power for power in range(int(np.floor(low)), int(np.ceil(high)) + 1) for step in steps]
    figure.update_xaxes(type="log", range=[low, high], tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
