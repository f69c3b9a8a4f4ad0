"""Pick stability against budget: which prompts replays of a run pick as its budget grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.outputs.canvas import Labels, frame
from iapo_core.outputs.palette import MOST_HIGHLIGHTED, TOKENS, Theme
from iapo_core.replays import Replays


@dataclass(frozen=True, eq=False)
class Stability:
    """One context of a replayed run.

    Attributes:
        replayed: The replays.
        labels: Names for people.
        context: Row of the context.
    """

    replayed: Replays
    labels: Labels
    context: int

    @property
    def title(self) -> str:
        """The finding."""
        n_same, n = self.replayed.n_same[:, self.context], self.replayed.rows.shape[1]
        pick = self.labels.candidate(int(self.replayed.rows[-1, 0, self.context]))
        steady = next((i for i in range(len(n_same)) if (n_same[i:] >= 0.9 * n).all()), None)
        if steady is None:
            return f"Even the whole budget picks {pick} in {n_same[-1]} of {n} replays only"
        budget = int(self.replayed.budgets[steady])
        return f"From {budget:,} completions on at least {n_same[steady:].min()} of {n} replays pick {pick}"

    @property
    def alt(self) -> str:
        """The picture in words."""
        return f"Share of replays that pick each prompt against budget, {self.labels.contexts[self.context]}. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per budget and prompt that some replay picked."""
        found = []
        for b, budget in enumerate(self.replayed.budgets):
            rows = self.replayed.rows[b, :, self.context]
            for p in self.replayed.prompts(self.context):
                is_it = rows == p
                found.append(
                    {
                        "budget": int(budget),
                        "prompt": self.labels.candidates[int(p)],
                        "replays": int(is_it.sum()),
                        "of": len(rows),
                        "median N": float(np.median(self.replayed.scales[b, is_it, self.context])) if is_it.any() else None,
                        "mean held-out utility": float(self.replayed.utilities[b, is_it, self.context].mean())
                        if is_it.any()
                        else None,
                        "the run's own pick": bool(p == self.replayed.rows[-1, 0, self.context]),
                    }
                )
        return pd.DataFrame(found)


def draw_stability(record: Stability, theme: Theme) -> go.Figure:
    """Draw a stacked bar per budget, a colour per prompt, the median N in it; the run's own pick stands at the bottom."""
    tokens, replayed, c = TOKENS[theme], record.replayed, record.context
    own = int(replayed.rows[-1, 0, c])
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=f"{record.labels.context(c)}. {replayed.rows.shape[1]} replays per budget on stored completions, same training "
        "queries. In the bars: median N.",
        height=380,
        x="budget in completions",
        y="share of replays",
        is_simulated=record.labels.is_simulated,
    )
    x = [f"{budget:,}" for budget in replayed.budgets]
    shown = [own, *(int(row) for row in replayed.prompts(c) if row != own)][:MOST_HIGHLIGHTED]
    hues = {p: hue for p, hue in record.labels.hues.items() if p in shown}
    free = iter([hue for hue in tokens.prompts if hue not in hues.values()])  # prompts that the run itself let go early
    for p in shown:
        is_it = replayed.rows[:, :, c] == p  # (B, S)
        name = record.labels.candidate(p)
        figure.add_bar(
            x=x,
            y=is_it.mean(axis=1),
            name=f"{name} (the run's pick)" if p == own else name,
            text=[
                f"N = {np.median(replayed.scales[b, is_it[b], c]):g}" if is_it[b].mean() >= 0.15 else "" for b in range(len(x))
            ],
            textposition="inside",
            insidetextanchor="middle",
            marker={"color": hues.get(p) or next(free, tokens.grey), "line": {"color": tokens.paper, "width": 1}},
            hovertemplate=f"{name}: %{{y:.0%}} of replays with %{{x}}<extra></extra>",
        )
    others = ~np.isin(replayed.rows[:, :, c], shown)
    if others.any():
        figure.add_bar(
            x=x, y=others.mean(axis=1), name="other prompts", marker={"color": tokens.grey},
            hovertemplate="other prompts: %{y:.0%} of replays with %{x}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.35, legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"})
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", fixedrange=True)
    return figure
