"""Contexts by prompt: which N each context chose of which prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import Arm, IntArray
from iapo_core.outputs.canvas import Labels, frame
from iapo_core.outputs.palette import TOKENS, Theme


@dataclass(frozen=True, eq=False)
class Choices:
    """The chosen N in the cell of its context and prompt.

    Attributes:
        rows: Candidate rows that some context chose, shape (F,).
        scales: Chosen N, 0 where the context chose another prompt, shape (C, F).
    """

    labels: Labels
    rows: IntArray
    scales: IntArray

    @property
    def title(self) -> str:
        """The finding."""
        n = self.scales[self.scales > 0]
        span = f"N = {n.min()}" if n.min() == n.max() else f"N from {n.min()} to {n.max()}"
        return f"{len(self.rows)} prompt{'s' if len(self.rows) > 1 else ''} for {len(self.scales)} contexts, {span}"

    @property
    def alt(self) -> str:
        """The choices in words."""
        return f"Chosen N per context and prompt. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per context."""
        column = self.scales.argmax(axis=1)
        return pd.DataFrame(
            {
                "context": self.labels.contexts,
                "prompt": [self.labels.candidates[int(self.rows[c])] for c in column],
                "N": self.scales.max(axis=1),
            }
        )


def contexts_by_prompt(picks: Sequence[Arm], candidates: Sequence[str], labels: Labels) -> Choices:
    """Compute the table from the picks, one per context."""
    chosen = [list(candidates).index(arm.candidate) for arm in picks]
    rows = sorted(set(chosen))
    scales = np.zeros((len(picks), len(rows)), dtype=int)
    for c, (p, arm) in enumerate(zip(chosen, picks, strict=True)):
        scales[c, rows.index(p)] = arm.n
    return Choices(labels, np.array(rows), scales)


def draw_contexts_by_prompt(record: Choices, theme: Theme) -> go.Figure:
    """Draw one marker per context in its prompt's column, N printed in it."""
    tokens = TOKENS[theme]
    n_contexts = len(record.scales)
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle="The N that each context chose, in the column of its prompt.",
        height=130 + min(max(28 * n_contexts, 90), 780),
        x="",
        y="",
        is_simulated=record.labels.is_simulated,
    )
    for column, p in enumerate(record.rows):
        contexts = np.flatnonzero(record.scales[:, column])
        figure.add_trace(
            go.Scatter(
                x=np.full(len(contexts), column),
                y=contexts,
                mode="markers+text",
                marker={"symbol": "square", "size": 24, "color": record.labels.hues.get(int(p), tokens.grey)},
                text=[f"<b>{n}</b>" for n in record.scales[contexts, column]],
                textfont={"color": tokens.paper, "size": 12},
                hovertemplate=f"{record.labels.candidate(int(p))}, N = %{{text}}<extra></extra>",
                showlegend=False,
            )
        )
    figure.update_xaxes(
        tickvals=list(range(len(record.rows))),
        ticktext=[record.labels.candidate(int(p), 24) for p in record.rows],
        range=[-0.6, len(record.rows) - 0.4],
        side="top",
        showgrid=False,
        fixedrange=True,
    )
    names = [record.labels.context(row) for row in range(n_contexts)]
    figure.update_yaxes(tickvals=list(range(n_contexts)), ticktext=names, range=[n_contexts - 0.4, -0.6], fixedrange=True)
    figure.update_layout(margin={"t": 100, "b": 16})
    return figure
