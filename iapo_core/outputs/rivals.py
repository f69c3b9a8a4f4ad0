"""Runs of one task beside one another: the ACR of what each picked, on queries that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.estimates import Interval
from iapo_core.outputs.canvas import frame, shortened
from iapo_core.outputs.palette import TOKENS, Theme


class Rival(NamedTuple):
    """One run: its id, its algorithm as people call it, what it spent and picked, and the ACR of that."""

    run_id: str
    algorithm: str
    seed: int
    spent: int
    picks: str
    acr: Interval


@dataclass(frozen=True, eq=False)
class Rivals:
    """Runs of one task with the same budget and the same contexts.

    Attributes:
        title_of_task: For people.
        budget: Completions.
        runs: At least one, the best first.
        is_simulated: True where no model stands behind the completions.
    """

    title_of_task: str
    budget: int
    runs: tuple[Rival, ...]
    is_simulated: bool

    @property
    def title(self) -> str:
        """The finding."""
        first = self.runs[0]
        if len(self.runs) == 1:
            return f"One run with {self.budget:,} completions: {first.acr.value:.3f}"
        rival = self.runs[1]
        if first.acr.low > rival.acr.value:
            return f"{escape(first.algorithm)} (seed {first.seed}) is ahead with {self.budget:,} completions"
        return f"{len(self.runs)} runs with {self.budget:,} completions: the best two are too close to call"

    @property
    def alt(self) -> str:
        """The picture in words."""
        return f"ACR on held-out queries of {len(self.runs)} runs of {self.title_of_task}. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per run."""
        return pd.DataFrame(
            {
                "run": [run.run_id for run in self.runs],
                "algorithm": [run.algorithm for run in self.runs],
                "seed": [run.seed for run in self.runs],
                "spent": [run.spent for run in self.runs],
                "ACR": [run.acr.value for run in self.runs],
                "low (95 %)": [run.acr.low for run in self.runs],
                "high (95 %)": [run.acr.high for run in self.runs],
                "held-out queries": [run.acr.n_queries for run in self.runs],
                "picks": [run.picks for run in self.runs],
            }
        )


def rivals(title_of_task: str, budget: int, runs: Sequence[Rival], *, is_simulated: bool) -> Rivals:
    """Return the runs in the order of their ACR."""
    return Rivals(title_of_task, budget, tuple(sorted(runs, key=lambda run: -run.acr.value)), is_simulated)


def draw_rivals(record: Rivals, theme: Theme) -> go.Figure:
    """Draw a dot and a whisker per run, a colour per algorithm."""
    tokens, n = TOKENS[theme], len(record.runs)
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=f"{escape(shortened(record.title_of_task, 50))}. Dots: mean over contexts on queries kept aside; whiskers: 95 % over "
        "queries.",
        height=150 + 30 * n,
        x="ACR on held-out queries",
        y="",
        is_simulated=record.is_simulated,
    )
    for i, name in enumerate(dict.fromkeys(run.algorithm for run in record.runs)):
        rows = [row for row, run in enumerate(record.runs) if run.algorithm == name]
        mine = [record.runs[row] for row in rows]
        half = np.nan_to_num([run.acr.high - run.acr.value for run in mine])
        figure.add_trace(
            go.Scatter(
                x=[run.acr.value for run in mine],
                y=rows,
                name=escape(name),
                mode="markers",
                marker={"size": 10, "symbol": i, "color": tokens.prompts[i % len(tokens.prompts)]},
                error_x={"type": "data", "array": half, "thickness": 1.3},
                hovertext=[
                    f"run {escape(run.run_id)}, {escape(name)}, seed {run.seed}<br>{run.acr.value:.3f} "
                    f"({run.acr.low:.3f} to {run.acr.high:.3f})<br>{escape(shortened(run.picks, 90))}"
                    for run in mine
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    names = [f"{escape(run.algorithm)}, seed {run.seed}" for run in record.runs]
    figure.update_yaxes(tickvals=list(range(n)), ticktext=names, range=[n - 0.4, -0.6], fixedrange=True, showgrid=False)
    return figure
