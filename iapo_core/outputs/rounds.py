"""Contexts by rounds: arms left per context after each round, and the pick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import IntArray
from iapo_core.outputs.canvas import Labels, frame
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import TOKENS, Theme, prompt_hues


@dataclass(frozen=True, eq=False)
class ContextRounds:
    """Arms left per context and round.

    Attributes:
        n_left: Shape (C, rounds), rounds from the start on.
        picks: The pick of each context in words, empty before the end.
    """

    labels: Labels
    n_left: IntArray
    rounds: IntArray
    picks: tuple[str, ...]
    chosen: IntArray | None
    ranking: tuple[int, ...]

    @property
    def title(self) -> str:
        """The finding."""
        if self.chosen is None:
            n_left = int(self.n_left[:, -1].max())
            return f"{n_left:,} arm{'s are' if n_left > 1 else ' is'} left per context"
        n_arms = len({tuple(row) for row in self.chosen.tolist()})
        n_prompts = len(set(self.chosen[:, 0].tolist()))
        return f"{len(self.chosen)} contexts, {n_arms} different picks from {n_prompts} prompt{'s' if n_prompts > 1 else ''}"

    @property
    def alt(self) -> str:
        """The chart in words."""
        return f"Arms left per context and round. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per context."""
        frame_ = pd.DataFrame(self.n_left, columns=[f"after round {r}" for r in self.rounds])
        frame_.insert(0, "context", self.labels.contexts)
        frame_["pick"] = list(self.picks) or ""
        return frame_


def contexts_by_rounds(history: History, labels: Labels) -> ContextRounds:
    """Compute arms left per context and round, and the picks at the end."""
    n_contexts = len(history.grid.contexts)
    columns = [np.full(n_contexts, history.grid.n_arms), *(r.survivors.counts() for r in history.rounds)]
    picks: tuple[str, ...] = ()
    if history.picks is not None:
        picks = tuple(f"{labels.candidate(int(p), 20)}, N={n}" for p, n in history.picks)
    return ContextRounds(
        labels,
        np.column_stack(columns),
        np.array([0, *(r.number for r in history.rounds)]),
        picks,
        history.picks,
        history.ranking(),
    )


def draw_contexts_by_rounds(record: ContextRounds, theme: Theme) -> go.Figure:
    """Draw number and shade per context and round; square markers carry (context row,) for clicks."""
    tokens = TOKENS[theme]
    n_contexts, n_columns = record.n_left.shape
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle="Arms left after each round; last column: the pick. Click a row to see that context.",
        height=130 + min(max(26 * n_contexts, 90), 760),
        x="round",
        y="",
        is_simulated=record.labels.is_simulated,
        margin={"r": 190 if record.picks else 16},
    )
    shade = np.log2(np.maximum(record.n_left, 1)).astype(np.float32)
    figure.add_trace(
        go.Heatmap(
            z=shade,
            x=record.rounds,
            y=np.arange(n_contexts),
            colorscale=[(i / 5, color) for i, color in enumerate(tokens.steps[:6])],
            showscale=False,
            text=record.n_left,
            texttemplate="%{text}",
            textfont={"size": 11},
            xgap=1,
            ygap=1,
            hoverinfo="skip",
        )
    )
    columns, rows = np.meshgrid(record.rounds, np.arange(n_contexts))
    figure.add_trace(
        go.Scatter(
            x=columns.ravel(),
            y=rows.ravel(),
            mode="markers",
            marker={"symbol": "square", "size": 18, "opacity": 0, "color": tokens.text},
            customdata=rows.reshape(-1, 1),
            hovertemplate="%{y}: click to show this context<extra></extra>",
            showlegend=False,
            unselected={"marker": {"opacity": 0}},
            selected={"marker": {"opacity": 0.25}},
        )
    )
    hues = prompt_hues(record.ranking, theme)
    for row, pick in enumerate(record.picks):
        row_of_prompt = int(record.chosen[row, 0]) if record.chosen is not None else -1
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            xshift=8,
            y=row,
            text=pick,
            showarrow=False,
            font={"size": 11, "color": hues.get(row_of_prompt, tokens.text)},
        )
    figure.update_xaxes(dtick=1, showgrid=False, fixedrange=True, range=[-0.5, n_columns - 0.5])
    names = [record.labels.context(row) for row in range(n_contexts)]
    figure.update_yaxes(
        tickvals=list(range(n_contexts)), ticktext=names, range=[n_contexts - 0.5, -0.5], showgrid=False, fixedrange=True
    )
    return figure
