"""How a run narrows down: arms left per round, the race of the finalists, and contexts by rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import FloatArray, IntArray
from iapo_core.outputs.canvas import Labels, figures_of, frame
from iapo_core.outputs.curves import label_ends
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import TOKENS, Theme, prompt_hues, translucent

_FINALISTS = 8
_MOST_GREY = 120


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
    counts = [r.alive.sum(axis=(1, 2)) for r in history.rounds]
    return Curtain(
        labels=labels,
        rounds=np.array([0, *(r.number for r in history.rounds)]),
        per_context=np.array([(n_arms, n_arms), *((int(c.min()), int(c.max())) for c in counts)]),
        anywhere=np.array([n_arms, *(int(r.alive.any(axis=0).sum()) for r in history.rounds)]),
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
        subtitle=f"Arms left after each round (left, log); completions spent of {curtain.budget:,} (right).",
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
            name="alive in some context",
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
            name="completions spent",
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
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, curtain.budget * 1.06],
            "showgrid": False,
            "tickfont": {"size": 12, "color": tokens.muted},
            "automargin": True,
            "tickvals": [round(curtain.budget * share) for share in (0, 0.25, 0.5, 0.75, 1)],
            "tickformat": ",",
        }
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
        subtitle=f"Context: {race.labels.context(race.context)}. Estimate with 95 % interval; grey: {race.n_others:,} other arms.",
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
        half = np.nan_to_num(race.half_width[i])
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
            return f"{int(self.n_left[:, -1].max()):,} arms are left per context"
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
    columns = [np.full(n_contexts, history.grid.n_arms), *(r.alive.sum(axis=(1, 2)) for r in history.rounds)]
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
