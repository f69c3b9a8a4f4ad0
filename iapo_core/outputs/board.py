"""The trim board: every arm as a cell, N across, prompts down, coloured by the round in which it left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.arms import BoolArray, FloatArray, IntArray
from iapo_core.outputs.canvas import Labels, figures_of, frame, scale_ticks
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import TOKENS, Theme, colorscale

Show = Literal["round", "estimate", "samples"]
_MANY_RINGS = 160


@dataclass(frozen=True, eq=False)
class Board:
    """One context's board (or the share of contexts in which an arm is alive).

    Attributes:
        value: What colours the cells, nan for nothing known, shape (P, N).
        alive: Shape (P, N).
        left_round: 0 while alive, shape (P, N).
        leader: Candidate row and N, None before the first estimate.
        hover: A sentence per cell, shape (P, N).
    """

    show: Show | Literal["share"]
    labels: Labels
    value: FloatArray
    alive: BoolArray
    left_round: IntArray
    leader: tuple[int, int] | None
    hover: list[list[str]]
    title: str
    subtitle: str
    n_rounds: int
    estimate: FloatArray
    half_width: FloatArray
    n_queries: IntArray

    @property
    def alt(self) -> str:
        """The board in words."""
        return f"Trim board. {self.title}. {int(self.alive.sum())} of {self.alive.size} arms are alive."

    def table(self) -> pd.DataFrame:
        """Return one row per arm."""
        n_candidates, n_max = self.alive.shape
        return pd.DataFrame(
            {
                "prompt": np.repeat(self.labels.candidates, n_max),
                "N": np.tile(np.arange(1, n_max + 1), n_candidates),
                "left in round": np.where(self.alive, "alive", self.left_round.astype(str)).ravel(),
                "estimate": self.estimate.ravel(),
                "± 95 %": self.half_width.ravel(),
                "queries": self.n_queries.ravel(),
            }
        )


def trim_board(history: History, labels: Labels, context: int | None, show: Show = "round") -> Board:
    """Compute the board of a context; None shows in how many contexts each arm is alive."""
    grid = history.grid
    n_rounds = max(history.n_rounds, 1)
    shown = 0 if context is None else context
    left = history.left_round[shown] if context is not None else history.left_round.min(axis=0)
    alive = history.alive[shown] if context is not None else np.asarray(history.alive.any(axis=0))
    q, half = history.q(shown), history.half_width(shown)
    n_queries = history.rounds[-1].estimated.n_queries if history.rounds else np.zeros(alive.shape, dtype=int)
    value: FloatArray
    if context is None:
        value = history.alive.mean(axis=0)
    elif show == "estimate":
        value = q
    elif show == "samples":
        value = np.where(n_queries > 0, n_queries, np.nan)
    else:
        value = np.where(alive, n_rounds + 1, left).astype(float)
    leader = None if context is None else history.leader(shown)
    cuts = {r.number: float(r.cut[shown]) for r in history.rounds}
    board = [
        [_why(labels, history, shown, p, k, left, q, half, n_queries, cuts) for k in range(grid.n_max)] for p in range(len(left))
    ]
    return Board(
        show="share" if context is None else show,
        labels=labels,
        value=value,
        alive=alive,
        left_round=left,
        leader=leader,
        hover=board,
        title=_finding(history, labels, context, leader, alive),
        subtitle=_method(history, labels, context, show),
        n_rounds=n_rounds,
        estimate=q,
        half_width=half,
        n_queries=n_queries,
    )


def draw_trim_board(board: Board, theme: Theme) -> go.Figure:
    """Draw a board; square markers over the cells carry (candidate row, N) for clicks and the hover text."""
    tokens = TOKENS[theme]
    n_candidates, n_max = board.alive.shape
    figure = frame(
        theme=theme,
        title=board.title,
        subtitle=board.subtitle,
        height=board_height(n_candidates),
        x="N, completions per query",
        y="",
        is_simulated=board.labels.is_simulated,
        margin={"r": 8},
    )
    figure.add_trace(_heat(board, theme))
    figure.add_trace(rings(board.alive, tokens.paper))
    figure.add_trace(star(board.leader, tokens.chosen))
    columns, rows = np.meshgrid(np.arange(1, n_max + 1), np.arange(n_candidates))
    figure.add_trace(
        go.Scatter(
            x=columns.ravel(),
            y=rows.ravel(),
            mode="markers",
            marker={"symbol": "square", "size": 14, "opacity": 0, "color": tokens.text},
            customdata=np.column_stack([rows.ravel(), columns.ravel()]),
            hovertext=[text for row in board.hover for text in row],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
            unselected={"marker": {"opacity": 0}},
            selected={"marker": {"opacity": 0.35, "color": tokens.chosen}},
        )
    )
    _axes(figure, board.labels, n_candidates, n_max)
    return figure


def _heat(board: Board, theme: Theme) -> go.Heatmap:
    tokens = TOKENS[theme]
    bar: dict[str, Any] = {
        "thickness": 10,
        "outlinewidth": 0,
        "tickfont": {"size": 11, "color": tokens.muted},
        "title": {"font": {"size": 11, "color": tokens.muted}, "side": "top"},
    }
    low: float | None = None
    high: float | None = None
    if board.show == "round":
        last = board.n_rounds + 1
        low, high = 1, last
        ticks = list(range(1, board.n_rounds + 1, max(board.n_rounds // 5, 1)))
        bar |= {"tickvals": [*ticks, last], "ticktext": [*map(str, ticks), "alive"], "title": {**bar["title"], "text": "left in"}}
    elif board.show == "share":
        low, high = 0, 1
        bar |= {"tickformat": ".0%", "title": {**bar["title"], "text": "contexts"}}
    else:
        bar |= {"title": {**bar["title"], "text": {"estimate": "utility", "samples": "queries"}[board.show]}}
    return go.Heatmap(
        z=board.value.astype(np.float32),
        x=np.arange(1, board.value.shape[1] + 1),
        y=np.arange(len(board.value)),
        zmin=low,
        zmax=high,
        colorscale=colorscale(theme),
        colorbar=bar,
        xgap=1,
        ygap=1,
        hoverinfo="skip",
    )


def rings(alive: BoolArray, color: str) -> go.Scatter:
    """Ring the survivors, once they are few enough to be told apart."""
    rows, columns = np.nonzero(alive) if alive.sum() <= _MANY_RINGS else (np.empty(0, dtype=int), np.empty(0, dtype=int))
    return go.Scatter(
        x=columns + 1,
        y=rows,
        mode="markers",
        marker={"symbol": "circle-open", "size": 9, "color": color, "line": {"width": 1.5}},
        hoverinfo="skip",
        showlegend=False,
    )


def star(leader: tuple[int, int] | None, color: str) -> go.Scatter:
    """Mark the leader."""
    return go.Scatter(
        x=[] if leader is None else [leader[1]],
        y=[] if leader is None else [leader[0]],
        mode="markers",
        marker={"symbol": "star", "size": 16, "color": color, "line": {"width": 1, "color": "white"}},
        hoverinfo="skip",
        showlegend=False,
    )


def _axes(figure: go.Figure, labels: Labels, n_candidates: int, n_max: int) -> None:
    figure.update_xaxes(tickvals=scale_ticks(n_max), range=[0.5, n_max + 0.5], showgrid=False, fixedrange=True)
    step = 1 if n_candidates <= 40 else 2
    rows = list(range(0, n_candidates, step))
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[labels.candidate(row) for row in rows],
        range=[n_candidates - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
    )


def board_height(n_candidates: int) -> int:
    """Return a height in pixels at which the names of so many prompts can be read."""
    return 150 + min(max(26 * n_candidates, 150), 760)


def _finding(history: History, labels: Labels, context: int | None, leader: tuple[int, int] | None, alive: BoolArray) -> str:
    if not history.rounds:
        return f"All {alive.size:,} arms compete"
    if context is None:
        n_agreed = int(history.alive.all(axis=0).sum())
        return f"{int(alive.sum()):,} of {alive.size:,} arms are alive in some context, {n_agreed:,} in every one"
    name = "no arm yet" if leader is None else f"{labels.candidate(leader[0])} with N = {leader[1]}"
    if history.picks is not None:
        return f"{name} is left of {alive.size:,} arms"
    return f"{int(alive.sum()):,} of {alive.size:,} arms left; {name} leads"


def _method(history: History, labels: Labels, context: int | None, show: Show) -> str:
    where = f"{len(labels.contexts)} contexts" if context is None else f"Context: {labels.context(context)}"
    what = {
        "round": "colour: round in which the arm left",
        "estimate": "colour: estimated utility",
        "samples": "colour: queries seen",
    }
    shown = "colour: share of contexts in which the arm is alive" if context is None else what[show]
    return f"{where}. Round {history.round} of {history.n_rounds or '?'}, {history.spent:,} completions spent; {shown}."


def _why(
    labels: Labels,
    history: History,
    context: int,
    p: int,
    k: int,
    left: IntArray,
    q: FloatArray,
    half: FloatArray,
    n_queries: IntArray,
    cuts: dict[int, float],
) -> str:
    """Say in words where an arm stands and why."""
    name = f"<b>{labels.candidate(p)}</b>, N = {k + 1}"
    seen = f"estimate {figures_of(float(q[p, k]), float(half[p, k]))} from {int(n_queries[p, k])} queries"
    number = int(left[p, k])
    if number == 0:
        return f"{name}<br>still competes<br>{seen}"
    then = float(history.q(context, _index(history, number))[p, k])
    cut = cuts.get(number, float("nan"))
    if then != then:
        reason = "it had no sample, and sampled arms go first"
    elif cut != cut:
        reason = "its prompt was screened out at N = 1"
    else:
        reason = (
            f"its {then:.3f} was below the cut at {cut:.3f}"
            if then < cut
            else f"its {then:.3f} tied with the cut; lots were drawn"
        )
    return f"{name}<br>left in round {number}: {reason}<br>now {seen}"


def _index(history: History, number: int) -> int:
    return next(i for i, done in enumerate(history.rounds) if done.number == number)
