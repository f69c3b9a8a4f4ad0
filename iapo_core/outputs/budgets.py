"""What each algorithm makes of a budget: mean ACR with its standard error against completions spent, after the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.bench.spelled import ORACLE
from iapo_core.bench.summary import Line
from iapo_core.outputs.canvas import frame, shortened
from iapo_core.outputs.palette import TOKENS, Theme, translucent


@dataclass(frozen=True, eq=False)
class BudgetCurves:
    """One environment of a bench.

    Attributes:
        lines: Its summary, one per algorithm and budget.
    """

    lines: tuple[Line, ...]

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.lines[0].environment

    @property
    def title(self) -> str:
        """The finding, at the largest budget."""
        largest = max(line.budget for line in self.lines)
        ranked = sorted((x for x in self.lines if x.budget == largest and x.algorithm != ORACLE), key=lambda x: -x.acr)
        if not ranked:
            return "The best that is possible"
        first = ranked[0]
        if len(ranked) == 1:
            return f"{escape(first.algorithm)} with {largest:,} completions: {first.acr:.3f}"
        gap, noise = first.acr - ranked[1].acr, float(np.hypot(first.sem, ranked[1].sem))
        if not gap > 2 * noise:  # also where one run gives no standard error
            return f"{escape(first.algorithm)} and {escape(ranked[1].algorithm)} are level at {largest:,} completions"
        return f"{escape(first.algorithm)} leads at {largest:,} completions"

    @property
    def alt(self) -> str:
        """The curves in words."""
        return f"Mean ACR against completions spent, {self.environment}. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per algorithm and budget."""
        return pd.DataFrame(
            {
                "environment": [self.environment + " (SIMULATED)" * line.is_simulated for line in self.lines],
                "algorithm": [line.algorithm for line in self.lines],
                "budget": [line.budget for line in self.lines],
                "ACR": [line.acr for line in self.lines],
                "± SEM": [line.sem for line in self.lines],
                "regret": [line.regret for line in self.lines],
                "completions spent": [line.spent for line in self.lines],
                "Wilcoxon p": [line.p for line in self.lines],
                "runs": [line.n_runs for line in self.lines],
            }
        )


def budget_curves(lines: Sequence[Line]) -> list[BudgetCurves]:
    """Return a record per environment, in order."""
    names = dict.fromkeys(line.environment for line in lines)
    return [BudgetCurves(tuple(line for line in lines if line.environment == name)) for name in names]


def draw_budget_curves(record: BudgetCurves, theme: Theme) -> go.Figure:
    """Draw a line per algorithm with a band of one standard error; the oracle is a ceiling, not a line to reach it by."""
    tokens = TOKENS[theme]
    first = record.lines[0]
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=f"{escape(shortened(record.environment, 60))}, {first.n_runs} runs. Bands: one standard error.",
        height=420,
        x="completions spent (log)",
        y="mean ACR on held-out queries",
        is_simulated=first.is_simulated,
    )
    names = list(dict.fromkeys(line.algorithm for line in record.lines if line.algorithm != ORACLE))
    for i, name in enumerate(names):
        mine = sorted((line for line in record.lines if line.algorithm == name), key=lambda line: line.spent)
        color = tokens.prompts[i % len(tokens.prompts)]
        x, y, sem = (np.array([getattr(line, field) for line in mine]) for field in ("spent", "acr", "sem"))
        sem = np.nan_to_num(sem)
        figure.add_trace(
            go.Scatter(
                x=np.r_[x, x[::-1]], y=np.r_[y + sem, (y - sem)[::-1]], fill="toself", mode="none",
                fillcolor=translucent(color, 0.12), hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                name=escape(name),
                mode="lines+markers",
                line={"color": color, "width": 2.2, "dash": "solid" if i < len(tokens.prompts) else "dot"},
                marker={"size": 7, "symbol": i},
                hovertext=[
                    f"{escape(name)}, budget {line.budget:,}<br>ACR {line.acr:.4f} ± {line.sem:.4f}<br>regret {line.regret:.4f}"
                    for line in mine
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    if ceilings := [line.acr for line in record.lines if line.algorithm == ORACLE]:
        figure.add_hline(
            y=ceilings[0], line={"color": tokens.muted, "dash": "dot", "width": 1}, annotation_text="best possible (oracle)"
        )
    figure.update_xaxes(type="log")
    return figure


def bench_page(lines: Sequence[Line]) -> str:
    """Return a page of its own with a figure and a table per environment; opens without a network."""
    parts: list[str] = []
    for record in budget_curves(lines):
        figure = draw_budget_curves(record, "light")
        parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts, config={"displaylogo": False}))
        parts.append(record.table().to_html(index=False, border=0, float_format="{:.4f}".format, na_rep=""))
    style = "body{font-family:sans-serif;max-width:960px;margin:2em auto;color:#1c2733}td,th{padding:2px 10px;text-align:right}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>IAPO bench</title><style>{style}</style></head>'
        f"<body><h1>IAPO bench</h1>{''.join(parts)}</body></html>"
    )
