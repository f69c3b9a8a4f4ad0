"""Policy map: which arm wins at every mix of weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import Contexts, FloatArray, IntArray
from iapo_core.outputs.canvas import Labels, frame, scale_ticks
from iapo_core.outputs.palette import TOKENS, Theme, translucent

COST_WEIGHTS = np.r_[0.0, np.geomspace(0.01, 10, 61)]
MIXES = np.linspace(0, 1, 21)


@dataclass(frozen=True, eq=False)
class PolicyMap:
    """Which arm wins at every mix of weights.

    Attributes:
        mixes: Share of the first objective, shape (Y,); one entry where there is a single objective.
        cost_weights: Shape (Z,).
        candidates: Winner's row, shape (Y, Z).
        scales: Winner's N, shape (Y, Z).
        margin: Over the best arm of another prompt, shape (Y, Z).
        here: Current mix and cost weight.
    """

    labels: Labels
    mixes: FloatArray
    cost_weights: FloatArray
    candidates: IntArray
    scales: IntArray
    margin: FloatArray
    here: tuple[float, float]

    @property
    def title(self) -> str:
        """The finding."""
        n_prompts, n_arms = len(np.unique(self.candidates)), len({*zip(self.candidates.flat, self.scales.flat, strict=True)})
        if n_prompts == 1:
            return f"{self.labels.candidate(int(self.candidates.flat[0]))} wins at every weight, with {n_arms} different N"
        return f"The weights decide: {n_prompts} prompts and {n_arms} arms win somewhere"

    @property
    def alt(self) -> str:
        """The map in words."""
        return f"Policy map over {self.candidates.size} weight mixes. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per mix."""
        mixes, costs = np.meshgrid(self.mixes, self.cost_weights, indexing="ij")
        return pd.DataFrame(
            {
                "share of the first objective": mixes.ravel(),
                "cost weight": costs.ravel(),
                "prompt": [self.labels.candidates[int(p)] for p in self.candidates.flat],
                "N": self.scales.ravel(),
                "margin over the next prompt": self.margin.ravel(),
            }
        )


def map_contexts(n_objectives: int, rest: FloatArray | None = None) -> tuple[Contexts, FloatArray]:
    """Return the contexts that a policy map asks about, and its mixes; further objectives keep their `rest` of the weight."""
    mixes = MIXES if n_objectives > 1 else np.ones(1)
    others = np.zeros(max(n_objectives - 2, 0)) if rest is None else rest
    weights = np.array([[m, *([1 - m] if n_objectives > 1 else []), *others] for m in mixes])
    n_cost = len(COST_WEIGHTS)
    names = tuple(f"{m:.2f} at {w:.4g}" for m in mixes for w in COST_WEIGHTS)
    return Contexts(names, np.repeat(weights, n_cost, axis=0), np.tile(COST_WEIGHTS, len(mixes))), mixes


def policy_map(q: FloatArray, mixes: FloatArray, labels: Labels, here: tuple[float, float]) -> PolicyMap:
    """Compute the map from Q of `map_contexts`, nan where unsampled, shape (Y Z, P, N)."""
    n_max = q.shape[2]
    value = np.where(np.isnan(q), -np.inf, q)
    best = value.max(axis=2)  # (Y Z, P)
    winner = best.argmax(axis=1)
    scale = np.take_along_axis(value, winner[:, None, None], axis=1)[:, 0].argmax(axis=1) + 1
    ranked = np.sort(best, axis=1)
    margin = ranked[:, -1] - ranked[:, -2] if best.shape[1] > 1 else np.full(len(best), np.inf)
    shape = (len(mixes), len(COST_WEIGHTS))
    return PolicyMap(
        labels, mixes, COST_WEIGHTS, winner.reshape(shape), np.minimum(scale, n_max).reshape(shape), margin.reshape(shape), here
    )


def draw_policy_map(record: PolicyMap, theme: Theme) -> go.Figure:
    """Draw the map: hue = prompt, faint where the margin is small, N printed; markers carry (mix, cost weight) for clicks."""
    return _draw_area(record, theme) if len(record.mixes) > 1 else _draw_ribbon(record, theme)


def _positions(cost_weights: FloatArray) -> FloatArray:
    """Put cost weight 0 one step left of the smallest on a log axis."""
    positive = np.log10(cost_weights[1:])
    return np.concatenate([[positive[0] - (positive[1] - positive[0]) * 3], positive])


def _ticks(cost_weights: FloatArray) -> tuple[list[float], list[str]]:
    marks = [0.01, 0.03, 0.1, 0.3, 1, 3, 10]
    return [float(_positions(cost_weights)[0]), *(float(np.log10(m)) for m in marks)], ["0", *(f"{m:g}" for m in marks)]


def _here_x(record: PolicyMap) -> float:
    weight = record.here[1]
    return float(np.clip(np.log10(weight), -2, 1)) if weight > 0 else float(_positions(record.cost_weights)[0])


def _map_frame(record: PolicyMap, theme: Theme, height: int, y: str, subtitle: str) -> go.Figure:
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=subtitle,
        height=height,
        x="cost weight",
        y=y,
        is_simulated=record.labels.is_simulated,
    )
    values, texts = _ticks(record.cost_weights)
    figure.update_xaxes(tickvals=values, ticktext=texts, showgrid=False)
    return figure


def _draw_area(record: PolicyMap, theme: Theme) -> go.Figure:
    tokens = TOKENS[theme]
    x = _positions(record.cost_weights)
    first, second = (*record.labels.objectives, "objective 1", "objective 2")[:2]
    figure = _map_frame(
        record,
        theme,
        430,
        f"weight of “{first}”",
        f"Rest of the weight on “{second}”. Hue: winning prompt; number: N; faint: small margin.",
    )
    winners = [int(p) for p in np.unique(record.candidates)]
    n = len(winners)
    code = np.searchsorted(winners, record.candidates).astype(np.float32)
    colors = [record.labels.hues.get(p, tokens.grey) for p in winners]
    steps = [(edge, color) for i, color in enumerate(colors) for edge in (i / n, (i + 1) / n)]
    strong = float(np.quantile(record.margin[np.isfinite(record.margin)], 0.7)) if np.isfinite(record.margin).any() else 1.0
    figure.add_trace(
        go.Heatmap(
            z=code,
            x=x,
            y=record.mixes,
            zmin=-0.5,
            zmax=n - 0.5,
            colorscale=steps,
            showscale=False,
            hoverinfo="skip",
            opacity=0.75,
        )
    )
    veil = np.clip(1 - record.margin / (strong or 1.0), 0, 1).astype(np.float32)
    figure.add_trace(
        go.Heatmap(
            z=veil,
            x=x,
            y=record.mixes,
            zmin=0,
            zmax=1,
            showscale=False,
            hoverinfo="skip",
            colorscale=[(0, translucent(tokens.paper, 0)), (1, translucent(tokens.paper, 0.65))],
        )
    )
    columns, rows = np.meshgrid(np.arange(len(x)), np.arange(len(record.mixes)))
    figure.add_trace(
        go.Scatter(
            x=x[columns.ravel()],
            y=record.mixes[rows.ravel()],
            mode="markers",
            marker={"symbol": "square", "size": 12, "opacity": 0, "color": tokens.text},
            customdata=np.column_stack([record.mixes[rows.ravel()], record.cost_weights[columns.ravel()]]),
            hovertext=[
                f"{record.labels.candidate(int(p))}, N = {k}<br>margin {m:.3f}"
                for p, k, m in zip(record.candidates.flat, record.scales.flat, record.margin.flat, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
            unselected={"marker": {"opacity": 0}},
            selected={"marker": {"opacity": 0.3}},
        )
    )
    sparse_rows, sparse_columns = np.meshgrid(np.arange(1, len(record.mixes), 4), np.arange(3, len(x), 7), indexing="ij")
    figure.add_trace(
        go.Scatter(
            x=x[sparse_columns.ravel()],
            y=record.mixes[sparse_rows.ravel()],
            mode="text",
            hoverinfo="skip",
            showlegend=False,
            text=[str(n_) for n_ in record.scales[sparse_rows.ravel(), sparse_columns.ravel()]],
            textfont={"size": 11, "color": tokens.text},
        )
    )
    for p, color in zip(winners, colors, strict=True):
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=record.labels.candidate(p, 26),
                marker={"symbol": "square", "size": 11, "color": color},
            )
        )
    _here(figure, _here_x(record), record.here[0], tokens.chosen, tokens.paper)
    figure.update_yaxes(tickformat=".0%", showgrid=False)
    return figure


def _draw_ribbon(record: PolicyMap, theme: Theme) -> go.Figure:
    tokens = TOKENS[theme]
    x, scales, winners = _positions(record.cost_weights), record.scales[0], record.candidates[0]
    figure = _map_frame(
        record, theme, 330, "chosen N (log)", "Line: the N that wins at each cost weight; band: the prompt that wins."
    )
    roof = float(np.log2(scales.max())) + 0.7
    starts = np.flatnonzero(np.r_[True, np.diff(winners) != 0])
    for start, end in zip(starts, np.r_[starts[1:], len(x) - 1], strict=True):
        color = record.labels.hues.get(int(winners[start]), tokens.grey)
        left, right = float(x[start]), float(x[end])
        figure.add_trace(
            go.Scatter(
                x=[left, right, right, left],
                y=[2.0**-0.3, 2.0**-0.3, 2.0**roof, 2.0**roof],
                fill="toself",
                mode="none",
                fillcolor=translucent(color, 0.2),
                hoverinfo="skip",
                showlegend=False,
            )
        )
        if right - left > 0.18:
            name = record.labels.candidate(int(winners[start]), max(int((right - left) * 26), 6))
            figure.add_trace(
                go.Scatter(
                    x=[(left + right) / 2],
                    y=[2 ** (roof - 0.3)],
                    mode="text",
                    text=[name],
                    hoverinfo="skip",
                    showlegend=False,
                    textfont={"size": 12, "color": tokens.text},
                )
            )
    figure.add_trace(
        go.Scatter(
            x=x,
            y=scales,
            mode="lines+markers",
            line={"color": tokens.text, "width": 2, "shape": "hvh"},
            marker={"size": 5, "color": tokens.text},
            customdata=np.column_stack([np.ones(len(x)), record.cost_weights]),
            hovertext=[
                f"{record.labels.candidate(int(p))}, N = {k}<br>margin {m:.3f} at cost weight {w:.3g}"
                for p, k, m, w in zip(winners, scales, record.margin[0], record.cost_weights, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
        )
    )
    at = int(np.argmin(np.abs(x - _here_x(record))))
    _here(figure, _here_x(record), float(scales[at]), tokens.chosen, tokens.paper)
    ticks = scale_ticks(int(scales.max()))
    figure.update_yaxes(
        type="log", tickvals=ticks, ticktext=list(map(str, ticks)), range=[np.log10(2.0**-0.3), np.log10(2.0**roof)]
    )
    return figure


def _here(figure: go.Figure, x: float, y: float, color: str, edge: str) -> None:
    figure.add_trace(
        go.Scatter(
            x=[x],
            y=[y],
            mode="markers",
            name="weights now",
            hoverinfo="skip",
            marker={"symbol": "star", "size": 16, "color": color, "line": {"width": 1, "color": edge}},
        )
    )
