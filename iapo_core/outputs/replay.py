"""The replay: a finished board with a Play button that trims it again, round by round."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from iapo_core.outputs.board import board_height, draw_trim_board, rings, star, trim_board
from iapo_core.outputs.canvas import Labels
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import TOKENS, Theme


def draw_replay(history: History, labels: Labels, context: int, theme: Theme) -> go.Figure:
    """Draw the finished board with a Play button that trims it again, round by round."""
    board = trim_board(history, labels, context)
    figure = draw_trim_board(board, theme)
    n_rounds = board.n_rounds
    frames = []
    for index, done in enumerate([None, *history.rounds]):
        number = 0 if done is None else done.number
        gone = (history.left_round[context] > 0) & (history.left_round[context] <= number)
        z = np.where(gone, history.left_round[context], n_rounds + 1)
        q = np.where(gone, np.nan, history.q(context, index - 1)) if done is not None else np.full(z.shape, np.nan)
        lead = None if np.isnan(q).all() else divmod(int(np.nanargmax(q)), z.shape[1])
        leader = None if lead is None else (lead[0], lead[1] + 1)
        frames.append(
            go.Frame(
                name=str(number),
                data=[
                    {"type": "heatmap", "z": z.tolist()},  # frames do not decode packed arrays
                    rings(~gone, TOKENS[theme].paper),
                    star(board.leader if number == n_rounds else leader, TOKENS[theme].chosen),
                ],
                traces=[0, 1, 2],
            )
        )
    figure.frames = frames
    quick = {"frame": {"duration": 700, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": False, "mode": "immediate"}
    at_once = {"frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}, "mode": "immediate"}
    figure.update_layout(
        margin={"b": 110},
        height=board_height(len(board.alive)) + 60,
        updatemenus=[
            {
                "type": "buttons",
                "showactive": False,
                "x": 0,
                "y": 0,
                "xanchor": "left",
                "yanchor": "top",
                "pad": {"t": 52},
                "bgcolor": TOKENS[theme].paper,
                "bordercolor": TOKENS[theme].grid,
                "font": {"color": TOKENS[theme].text},
                "buttons": [{"label": "▶ Play", "method": "animate", "args": [None, quick]}],
            }
        ],
        sliders=[
            {
                "active": len(frames) - 1,
                "x": 0.12,
                "len": 0.88,
                "y": 0,
                "pad": {"t": 44},
                "currentvalue": {"prefix": "after round ", "xanchor": "right", "font": {"size": 12}},
                "bordercolor": TOKENS[theme].grid,
                "font": {"color": TOKENS[theme].muted, "size": 11},
                "steps": [{"label": f.name, "method": "animate", "args": [[f.name], at_once]} for f in frames],
            }
        ],
    )
    return figure
