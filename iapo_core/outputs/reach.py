"""The headline of a bench as a picture: completions that each algorithm needs for what the reference has at its largest budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.bench.reach import Reach
from iapo_core.outputs.budgets import round_ticks
from iapo_core.outputs.canvas import frame, shortened
from iapo_core.outputs.palette import TOKENS, Theme


@dataclass(frozen=True, eq=False)
class Reached:
    """One environment of a bench.

    Attributes:
        found: What each algorithm needs, the fewest first, at least one.
    """

    found: tuple[Reach, ...]

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.found[0].environment

    @property
    def title(self) -> str:
        """The finding."""
        best = self.found[0]
        whole = f"{best.reference_spent:,.0f}"
        if not np.isfinite(best.completions):
            return f"No other algorithm reaches what {escape(best.reference)} has with {whole} completions"
        if best.ratio <= 0.99:
            return f"{escape(best.reference)} with {whole} completions is not reached with fewer"
        many = f"{'at most ' * best.is_at_most}{best.completions:,.0f}"
        least = "at least " * best.is_at_most
        return (
            f"{escape(best.algorithm)} reaches with {many} completions what {escape(best.reference)} has with {whole}: "
            f"{least}{best.ratio:.1f} x fewer"
        )

    @property
    def alt(self) -> str:
        """The picture in words."""
        needs = "; ".join(f"{one.algorithm} {one.words}" for one in self.found)
        return f"Completions to reach ACR {self.found[0].level:.4f}, {self.environment}. {self.title}. {needs}."

    def table(self) -> pd.DataFrame:
        """Return one row per algorithm."""
        return pd.DataFrame(
            {
                "environment": [one.environment + " (SIMULATED)" * one.is_simulated for one in self.found],
                "algorithm": [one.algorithm for one in self.found],
                "ACR to reach": [one.level for one in self.found],
                "completions": [one.completions for one in self.found],
                "low (95 %)": [one.low for one in self.found],
                "high (95 %)": [one.high for one in self.found],
                "times fewer": [one.ratio for one in self.found],
                "in words": [one.words for one in self.found],
            }
        ).replace(np.inf, np.nan)


def reached(found: Sequence[Reach]) -> dict[str, Reached]:
    """Return a record per environment that has an algorithm beside the reference."""
    names = dict.fromkeys(one.environment for one in found)
    return {
        name: Reached(tuple(sorted((one for one in found if one.environment == name), key=lambda one: one.completions)))
        for name in names
    }


def draw_reached(record: Reached, theme: Theme) -> go.Figure:
    """Draw a dot and a whisker per algorithm; an arrow at its largest budget where the level was not reached."""
    tokens, first = TOKENS[theme], record.found[0]
    n = len(record.found)
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=f"{escape(shortened(record.environment, 40))}. Completions to reach ACR {first.level:.4f}, interpolated; "
        "whiskers: 95 % bootstrap over runs.",
        height=150 + 34 * n,
        x="completions (log)",
        y="",
        is_simulated=first.is_simulated,
    )
    most = max(one.largest for one in record.found)
    for is_met, symbol in ((True, "circle"), (False, "triangle-right-open")):
        rows = [i for i, one in enumerate(record.found) if np.isfinite(one.completions) == is_met]
        x = np.array([record.found[i].completions if is_met else record.found[i].largest for i in rows])
        low = np.array([min(record.found[i].low, x[j]) for j, i in enumerate(rows)])
        high = np.array([min(record.found[i].high, most) for i in rows])
        figure.add_trace(
            go.Scatter(
                x=x,
                y=rows,
                mode="markers+text",
                marker={"size": 11, "symbol": symbol, "color": tokens.prompts[0] if is_met else tokens.muted},
                error_x={
                    "type": "data", "symmetric": False, "array": np.maximum(high - x, 0), "arrayminus": x - low,
                    "thickness": 1.4, "color": tokens.prompts[0] if is_met else tokens.grey,
                },
                text=[record.found[i].words for i in rows],
                textposition="top center",
                textfont={"size": 11, "color": tokens.text},
                cliponaxis=False,
                hovertext=[f"{escape(record.found[i].algorithm)}<br>{record.found[i].words}" for i in rows],
                hovertemplate="%{hovertext}<extra></extra>",
                showlegend=False,
            )
        )  # fmt: skip
    figure.add_vline(x=first.reference_spent, line={"color": tokens.chosen, "dash": "dot", "width": 1.5})
    least, most = min(one.smallest for one in record.found), max(most, first.reference_spent)
    ticks = round_ticks([least, most])
    figure.update_xaxes(
        type="log", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks], range=[np.log10(least) - 0.3, np.log10(most) + 0.45]
    )
    names = [escape(shortened(one.algorithm, 30)) for one in record.found]
    figure.update_yaxes(tickvals=list(range(n)), ticktext=names, range=[n - 0.4, -0.9], fixedrange=True, showgrid=False)
    return figure
