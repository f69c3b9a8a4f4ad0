"""Colours and type of every figure: one hue per prompt, one hue in steps for N, grey for what is out, orange for the pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Theme = Literal["light", "dark"]
MOST_HIGHLIGHTED = 8


@dataclass(frozen=True)
class Tokens:
    """What a theme is made of."""

    text: str
    muted: str
    grid: str
    paper: str
    grey: str
    chosen: str
    prompts: tuple[str, ...]
    steps: tuple[str, ...]  # from faint to strong, one hue


TOKENS: Mapping[Theme, Tokens] = {
    "light": Tokens(
        text="#1c2733",
        muted="#5b6875",
        grid="#e3e8ed",
        paper="#ffffff",
        grey="#b6bfc8",
        chosen="#d97706",
        prompts=("#0072b2", "#009e73", "#b5548e", "#3aa0dc", "#7048b6", "#7a6a00", "#8a3b2e", "#4d4d4d"),
        steps=("#eaf1f8", "#cfe0f0", "#a9c8e4", "#7fadd5", "#5590c3", "#2f72ae", "#17558f", "#083a6b"),
    ),
    "dark": Tokens(
        text="#e4e9ee",
        muted="#98a5b3",
        grid="#2a343f",
        paper="#11161c",
        grey="#56626f",
        chosen="#ffb454",
        prompts=("#4aa3df", "#2fbf95", "#dd9cc0", "#8fd0f5", "#b39ae6", "#c9b84a", "#e0917f", "#b5bcc4"),
        steps=("#1a2430", "#1f3247", "#25466a", "#2d5d8f", "#3b78b3", "#5897d0", "#86b9e6", "#c3defa"),
    ),
}


def prompt_hues(ranking: Sequence[int], theme: Theme) -> dict[int, str]:
    """Give the best-ranked candidates a hue each; every other row is grey (use `.get(row, grey)`)."""
    return dict(zip(list(ranking)[:MOST_HIGHLIGHTED], TOKENS[theme].prompts, strict=False))


def colorscale(theme: Theme) -> list[tuple[float, str]]:
    """Return the steps as a continuous colour scale."""
    steps = TOKENS[theme].steps
    return [(i / (len(steps) - 1), color) for i, color in enumerate(steps)]


def translucent(color: str, opacity: float) -> str:
    """Return a hex colour with an opacity."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
