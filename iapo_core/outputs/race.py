"""The race of the finalists: the last arms of a context over what was spent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import FloatArray, IntArray
from iapo_core.outputs.canvas import Labels, figures_of, frame, label_ends
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import TOKENS, Theme, prompt_hues, translucent

_FINALISTS = 8
_MOST_GREY = 120


@dataclass(frozen=True, eq=False)
class Race:
    """Estimates of the last arms of one context over what was spent.

    Attributes:
        arms: Candidate row and N of the highlighted arms, best first, shape (F, 2).
        estimate: After each round, nan where unsampled, shape (F, rounds).
        half_width: Shape (F, rounds).
        left_round: 0 while alive, shape (F,).
        grey: Estimates of some other arms that were sampled, shape (G, rounds).
        cut: Lowest estimate that stayed, shape (rounds,).
        spent: Shape (rounds,).
    """

    labels: Labels
    context: int
    arms: IntArray
    estimate: FloatArray
    half_width: FloatArray
    left_round: IntArray
    grey: FloatArray
    cut: FloatArray
    spent: IntArray
    ranking: tuple[int, ...]
    n_others: int

    @property
    def title(self) -> str:
        """The finding."""
        if not len(self.arms):
            return "No arm was estimated yet"
        p, n = self.arms[0]
        value = figures_of(float(self.estimate[0, -1]), float(self.half_width[0, -1]))
        return f"{self.labels.candidate(int(p))}, N = {n} leads with {value}"

    @property
    def alt(self) -> str:
        """The race in words."""
        return f"Race of the finalists in context {self.labels.contexts[self.context]}. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per finalist and round."""
        n_rounds = len(self.spent)
        names = [self.labels.candidates[int(p)] for p, _ in self.arms]
        return pd.DataFrame(
            {
                "prompt": np.repeat(names, n_rounds),
                "N": np.repeat(self.arms[:, 1], n_rounds),
                "spent": np.tile(self.spent, len(self.arms)),
                "estimate": self.estimate.ravel(),
                "± 95 %": self.half_width.ravel(),
            }
        )


def race_of_finalists(history: History, labels: Labels, context: int) -> Race:
    """Compute the race: the eight arms that stayed longest, best first."""
    n_max = history.grid.n_max
    rounds = range(len(history.rounds))
    q = np.array([history.q(context, i).ravel() for i in rounds]).reshape(len(rounds), history.grid.n_arms)  # (rounds, A)
    half = np.array([history.half_width(context, i).ravel() for i in rounds]).reshape(q.shape)
    last = q[-1] if len(q) else np.full(history.grid.n_arms, np.nan)
    left = history.left_round[context].ravel()
    stayed = np.where(left == 0, history.n_rounds + 1, left)
    order = np.lexsort((-np.nan_to_num(last, nan=-1e9), -stayed))
    order = order[~np.isnan(last[order])]
    top, others = order[:_FINALISTS], order[_FINALISTS : _FINALISTS + _MOST_GREY]
    return Race(
        labels=labels,
        context=context,
        arms=np.column_stack([top // n_max, top % n_max + 1]),
        estimate=q[:, top].T,
        half_width=half[:, top].T,
        left_round=left[top],
        grey=q[:, others].T,
        cut=np.array([float(r.cut[context]) for r in history.rounds]),
        spent=np.array([r.spent for r in history.rounds]),
        ranking=history.ranking(),
        n_others=max(len(order) - _FINALISTS, 0),
    )


def draw_race_of_finalists(race: Race, theme: Theme) -> go.Figure:
    """Draw the race: coloured finalists with bands, the rest one grey trace, the cut as a dashed line."""
    tokens = TOKENS[theme]
    hues = prompt_hues(race.ranking, theme)
    figure = frame(
        theme=theme,
        title=race.title,
        subtitle=f"Context: {race.labels.context(race.context)}. The last estimate with 95 % interval; grey: {race.n_others:,} others.",
        height=380,
        x="completions spent",
        y="estimated utility",
        is_simulated=race.labels.is_simulated,
        margin={"r": 170},
    )
    gap = np.full((len(race.grey), 1), np.nan)
    figure.add_trace(
        go.Scatter(
            x=np.tile(np.append(race.spent, np.nan), len(race.grey)),
            y=np.hstack([race.grey, gap]).ravel(),
            mode="lines",
            line={"color": translucent(tokens.grey, 0.45), "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    ends: list[tuple[float, str, str]] = []
    for i in reversed(range(len(race.arms))):
        p, n = int(race.arms[i, 0]), int(race.arms[i, 1])
        color = hues.get(p, tokens.grey)
        name = f"{race.labels.candidate(p, 16)}, N={n}"
        # Early intervals rest on two or three queries and span the whole chart; the last one is what counts.
        half = np.zeros(len(race.spent))
        half[-1] = np.nan_to_num(race.half_width[i, -1])
        figure.add_trace(
            go.Scatter(
                x=race.spent,
                y=race.estimate[i],
                mode="lines+markers",
                line={"color": color, "width": 2.2 if i == 0 else 1.5},
                marker={"size": 6 if i == 0 else 4, "symbol": i},
                error_y={"array": half, "thickness": 1, "width": 2, "color": translucent(color, 0.5)},
                name=name,
                hovertemplate=f"{name}<br>%{{y:.3f}} after %{{x:,}} completions<extra></extra>",
                showlegend=False,
            )
        )
        if race.left_round[i]:
            at = min(int(race.left_round[i]), len(race.spent)) - 1
            figure.add_trace(
                go.Scatter(
                    x=[race.spent[at]],
                    y=[race.estimate[i, at]],
                    mode="markers",
                    hoverinfo="skip",
                    showlegend=False,
                    marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": color}},
                )
            )
        ends.append((float(race.estimate[i, -1]), name, color))
    figure.add_trace(
        go.Scatter(
            x=race.spent,
            y=race.cut,
            mode="lines",
            name="cut",
            hovertemplate="cut %{y:.3f}<extra></extra>",
            showlegend=False,
            line={"color": tokens.text, "width": 1, "dash": "dash", "shape": "hv"},
        )
    )
    shown = race.estimate[~np.isnan(race.estimate)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    pad = 0.35 * (high - low or 1.0)
    figure.update_yaxes(range=[low - pad, high + pad])
    label_ends(figure, ends, high - low + 2 * pad)
    return figure
