"""How a run narrows down: arms left per round, with what was spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import IntArray
from iapo_core.outputs.canvas import Labels, frame
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import TOKENS, Theme, translucent


@dataclass(frozen=True, eq=False)
class Curtain:
    """Arms left and completions spent after each round; index 0 is the start.

    Attributes:
        rounds: 0..R done.
        per_context: Arms left per context, lowest and highest, shape (rounds, 2).
        anywhere: Arms alive in at least one context, shape (rounds,).
        spent: Shape (rounds,).
        budget: The cap.
    """

    labels: Labels
    rounds: IntArray
    per_context: IntArray
    anywhere: IntArray
    spent: IntArray
    budget: int
    n_rounds: int

    @property
    def title(self) -> str:
        """The finding."""
        if len(self.rounds) == 1:
            return f"{int(self.anywhere[0]):,} arms start"
        return f"{self.anywhere[0]:,} arms down to {self.per_context[-1, 1]:,} per context in {self.rounds[-1]} rounds"

    @property
    def alt(self) -> str:
        """The curtain in words."""
        return f"{self.title}; {self.spent[-1]:,} of {self.budget:,} completions spent."

    def table(self) -> pd.DataFrame:
        """Return one row per round."""
        return pd.DataFrame(
            {
                "round": self.rounds,
                "arms left per context (fewest)": self.per_context[:, 0],
                "arms left per context (most)": self.per_context[:, 1],
                "arms alive in some context": self.anywhere,
                "completions spent": self.spent,
            }
        )


def survival_curtain(history: History, labels: Labels, budget: int) -> Curtain:
    """Compute the curtain."""
    n_arms = history.grid.n_arms
    counts = [r.survivors.counts() for r in history.rounds]
    return Curtain(
        labels=labels,
        rounds=np.array([0, *(r.number for r in history.rounds)]),
        per_context=np.array([(n_arms, n_arms), *((int(c.min()), int(c.max())) for c in counts)]),
        anywhere=np.array([n_arms, *(int(r.survivors.anywhere().sum()) for r in history.rounds)]),
        spent=np.array([0, *(r.spent for r in history.rounds)]),
        budget=budget,
        n_rounds=max(history.n_rounds, 1),
    )


def draw_survival_curtain(curtain: Curtain, theme: Theme) -> go.Figure:
    """Draw arms left on a log2 axis, and the budget spent over it."""
    tokens = TOKENS[theme]
    figure = frame(
        theme=theme,
        title=curtain.title,
        subtitle=f"Arms left (left, log) and completions spent of {curtain.budget:,} (right).",
        height=340,
        x="round",
        y="arms left",
        is_simulated=curtain.labels.is_simulated,
        margin={"r": 60},
    )
    blue = tokens.steps[5]
    figure.add_trace(
        go.Scatter(
            x=curtain.rounds,
            y=curtain.anywhere,
            name="in some context",
            mode="lines+markers",
            line={"color": tokens.steps[3], "width": 1.5, "dash": "dot", "shape": "hv"},
            marker={"size": 5},
        )
    )
    figure.add_trace(
        go.Scatter(
            x=curtain.rounds,
            y=curtain.per_context[:, 1],
            name="per context",
            mode="lines+markers",
            line={"color": blue, "width": 2.5, "shape": "hv"},
            marker={"size": 6},
            fill="tozeroy",
            fillcolor=translucent(blue, 0.12),
        )
    )
    figure.add_trace(
        go.Scatter(
            x=curtain.rounds,
            y=curtain.spent,
            name="spent",
            mode="lines",
            yaxis="y2",
            line={"color": tokens.muted, "width": 1.5},
        )
    )
    top = float(np.log2(max(curtain.anywhere[0], 2)))
    powers = [2**i for i in range(0, int(top) + 1, 2 if top > 7 else 1)]
    figure.update_xaxes(range=[-0.2, curtain.n_rounds + 0.3], dtick=1)
    figure.update_yaxes(
        type="log", range=[-0.12, np.log10(curtain.anywhere[0]) + 0.1], tickvals=powers, ticktext=list(map(str, powers))
    )
    figure.update_layout(
        legend={"y": 1.0, "yanchor": "bottom"},
        margin={"t": 96},
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, curtain.budget * 1.06],
            "showgrid": False,
            "tickfont": {"size": 12, "color": tokens.muted},
            "automargin": True,
            "tickvals": [round(curtain.budget * share) for share in (0, 0.25, 0.5, 0.75, 1)],
            "tickformat": ",",
        },
    )
    figure.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        yref="y2",
        y0=curtain.budget,
        y1=curtain.budget,
        line={"color": tokens.muted, "width": 1, "dash": "dash"},
    )
    return figure
