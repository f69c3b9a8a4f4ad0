"""Dominance ribbon: who wins at every limit of what a query may cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import BoolArray
from iapo_core.evaluate import Scores
from iapo_core.fronts import Ribbon, dominance_ribbon
from iapo_core.outputs.canvas import Labels, frame, joined
from iapo_core.outputs.palette import TOKENS, Theme, translucent


@dataclass(frozen=True, eq=False)
class Bands:
    """The dominance ribbon: the best reachable arm at every cost limit (the shape of the paper's Figure 2a).

    Attributes:
        ribbon: Limits, qualities, candidate rows and scales, each (L,).
        is_unsure: Where the margin over the best other prompt is inside the winner's interval, shape (L,).
    """

    labels: Labels
    ribbon: Ribbon
    is_unsure: BoolArray

    @property
    def winners(self) -> list[int]:
        """Candidate rows in the order in which they take over."""
        return [int(p) for p in dict.fromkeys(self.ribbon.candidates.tolist()) if p >= 0]

    @property
    def title(self) -> str:
        """The finding."""
        names = [self.labels.candidate(p, 22) for p in self.winners]
        if not names:
            return "Nothing was sampled yet"
        return (
            f"{names[0]} is best at every price" if len(names) == 1 else f"As more may be spent, {joined(names[:4])} take turns"
        )

    @property
    def alt(self) -> str:
        """The ribbon in words."""
        return f"Dominance ribbon. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per limit at which the best arm changes."""
        ribbon = self.ribbon
        change = np.r_[True, (np.diff(ribbon.candidates) != 0) | (np.diff(ribbon.scales) != 0)] & (ribbon.candidates >= 0)
        return pd.DataFrame(
            {
                "cost limit per query": ribbon.limits[change],
                "prompt": [self.labels.candidates[int(p)] for p in ribbon.candidates[change]],
                "N": ribbon.scales[change],
                "best quality": ribbon.quality[change],
                "within the interval of the next prompt": self.is_unsure[change],
            }
        )


def dominance_bands(scores: Scores, context: int, labels: Labels) -> Bands:
    """Compute the ribbon under one context's objective weights."""
    quality = np.where(scores.is_known, scores.reward[scores.contexts.which[context]], np.nan)
    n_max = quality.shape[1]
    cost = scores.mean_costs[:, None] * np.arange(1, n_max + 1)
    cost = np.where(np.isnan(quality), np.inf, cost)
    finite = cost[np.isfinite(cost) & (cost > 0)]
    limits = np.geomspace(finite.min(), finite.max(), 300) if len(finite) else np.ones(1)
    ribbon = dominance_ribbon(cost, quality, limits)
    half = scores.half_width[context]
    is_unsure = np.zeros(len(limits), dtype=bool)
    for winner in {int(p) for p in ribbon.candidates if p >= 0}:
        rivals = quality.copy()
        rivals[winner] = np.nan
        second = dominance_ribbon(cost, rivals, limits).quality
        here = ribbon.candidates == winner
        margin = ribbon.quality - np.nan_to_num(second, nan=-np.inf)
        is_unsure |= here & (margin < np.nan_to_num(half[winner, np.maximum(ribbon.scales - 1, 0)], nan=np.inf))
    return Bands(labels, ribbon, is_unsure)


def draw_dominance_bands(record: Bands, theme: Theme) -> go.Figure:
    """Draw the best reachable quality over bands that carry the winner's hue; hatched where it is too close to call."""
    tokens = TOKENS[theme]
    ribbon = record.ribbon
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle="Best quality within a cost limit per query; hatched: the next prompt is inside the 95 % interval.",
        height=380,
        x=f"cost limit per query ({record.labels.cost_unit}, log)",
        y="best quality",
        is_simulated=record.labels.is_simulated,
    )
    known = ribbon.candidates >= 0
    if not known.any():
        return figure
    low, high = float(np.nanmin(ribbon.quality)), float(np.nanmax(ribbon.quality))
    pad = 0.08 * (high - low or 1.0)
    floor, roof = low - pad, high + 2.4 * pad
    key = ribbon.candidates * 2 + record.is_unsure
    starts = np.flatnonzero(np.r_[True, np.diff(key) != 0])
    ends = np.r_[starts[1:], len(key) - 1]
    label_at: dict[int, tuple[float, float]] = {}
    for start, end in zip(starts, ends, strict=True):
        p = int(ribbon.candidates[start])
        if p < 0:
            continue
        color = record.labels.hues.get(p, tokens.grey)
        left, right = float(ribbon.limits[start]), float(ribbon.limits[end])
        figure.add_trace(
            go.Scatter(
                x=[left, right, right, left],
                y=[floor, floor, roof, roof],
                fill="toself",
                mode="none",
                hoverinfo="skip",
                showlegend=False,
                fillcolor=translucent(color, 0.16) if color.startswith("#") else color,
                fillpattern={
                    "shape": "/" if record.is_unsure[start] else "",
                    "fgcolor": translucent(color, 0.5),
                    "size": 7,
                    "solidity": 0.15,
                },
            )
        )
        first, last = label_at.get(p, (left, right))
        if np.log(right / left) >= np.log(last / first) or p not in label_at:
            label_at[p] = (left, right)
    figure.add_trace(
        go.Scatter(
            x=ribbon.limits,
            y=ribbon.quality,
            mode="lines",
            line={"color": tokens.text, "width": 2.5, "shape": "hv"},
            hovertext=[
                f"{record.labels.candidate(int(p))}, N = {n}" if p >= 0 else ""
                for p, n in zip(ribbon.candidates, ribbon.scales, strict=True)
            ],
            hovertemplate="%{hovertext}<br>quality %{y:.3f} for at most %{x:.4f} a query<extra></extra>",
            showlegend=False,
        )
    )
    # Labels as a text trace: those of shapes land wrong on a log axis.
    span = np.log(ribbon.limits[-1] / ribbon.limits[0]) or 1.0
    wide = {p: at for p, at in label_at.items() if np.log(at[1] / at[0]) / span > 0.06}
    figure.add_trace(
        go.Scatter(
            x=[float(np.sqrt(left * right)) for left, right in wide.values()],
            y=[roof - pad * (0.5 + 0.7 * (i % 2)) for i in range(len(wide))],
            mode="text",
            text=[record.labels.candidate(p, max(int(np.log(at[1] / at[0]) / span * 110), 6)) for p, at in wide.items()],
            textfont={"size": 12, "color": tokens.text},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.update_xaxes(type="log", range=np.log10(ribbon.limits[[0, -1]]).tolist(), showgrid=False)
    figure.update_yaxes(range=[floor, roof])
    return figure
