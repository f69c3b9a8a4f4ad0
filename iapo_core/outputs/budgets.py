"""What algorithms make of a budget: ACR, screening and regret against completions spent, after the paper's Figures 4 and 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from iapo_core.bench.spelled import ORACLE
from iapo_core.bench.summary import SIGNIFICANT, Line
from iapo_core.outputs.canvas import frame, shortened
from iapo_core.outputs.palette import TOKENS, Theme

_SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "pentagon",
    "hexagon",
    "star",
    "cross",
    "x",
    "hourglass",
)
_PAPERS, _SCREENED = "psst", "psst-topk"


@dataclass(frozen=True, eq=False)
class BudgetCurves:
    """One environment of a bench, one line per algorithm.

    Attributes:
        lines: Its summary, one per algorithm and budget.
        reference: Label of the algorithm that p is against.
        shows: "acr" of all algorithms (Figure 4), "screening" for Top-K beside PSST (Figure 5), or "regret".
    """

    lines: tuple[Line, ...]
    reference: str
    shows: Literal["acr", "screening", "regret"] = "acr"

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.lines[0].environment

    @property
    def budgets(self) -> list[int]:
        """From small to large."""
        return sorted({line.budget for line in self.lines})

    @property
    def title(self) -> str:
        """The finding."""
        if self.shows == "screening":
            return self._screening()
        largest = self.budgets[-1]
        ranked = self._ranked(largest)
        if not ranked:
            return "The best that is possible"
        first = ranked[0]
        name = escape(first.algorithm)
        if self.shows == "regret":
            mine = next((line for line in ranked if line.algorithm == self.reference != first.algorithm), None)
            beside = f", {escape(self.reference)} {mine.regret:.4f}" if mine else ""
            return f"With {largest:,} completions {name} leaves a regret of {first.regret:.4f}{beside}"
        if len(ranked) == 1:
            return f"{name} with {largest:,} completions: {first.acr:.3f}"
        if not _is_ahead(first, ranked[1], self.reference):
            return f"{name} and {escape(ranked[1].algorithm)} are level at {largest:,} completions"
        return f"{name} leads at {largest:,} completions"

    @property
    def alt(self) -> str:
        """The curves in words."""
        what = {"acr": "Mean ACR", "screening": "Mean ACR with and without Top-K screening", "regret": "Mean regret"}[self.shows]
        return f"{what} against completions spent, {self.environment}. {self.title}."

    def table(self) -> pd.DataFrame:
        """Return one row per algorithm and budget."""
        return pd.DataFrame(
            {
                "environment": [self.environment + " (SIMULATED)" * line.is_simulated for line in self.lines],
                "algorithm": [line.algorithm for line in self.lines],
                "budget": [line.budget for line in self.lines],
                "ACR": [line.acr for line in self.lines],
                "± SEM": [line.sem for line in self.lines],
                "regret": [line.regret for line in self.lines],
                "± SEM of regret": [line.regret_sem for line in self.lines],
                "completions spent": [line.spent for line in self.lines],
                f"Wilcoxon p against {self.reference}": [line.p for line in self.lines],
                "median ms": [line.wall_ms for line in self.lines],
                "runs": [line.n_runs for line in self.lines],
            }
        )

    def _ranked(self, budget: int) -> list[Line]:
        return sorted((x for x in self.lines if x.budget == budget and x.algorithm != ORACLE), key=lambda x: -x.acr)

    def _screening(self) -> str:
        """Say how the best K stands beside PSST at the smallest and at the largest budget."""
        said = []
        for budget in dict.fromkeys((self.budgets[0], self.budgets[-1])):
            plain = next(x for x in self.lines if x.budget == budget and x.algorithm == _PAPERS)
            best = next(x for x in self._ranked(budget) if x.algorithm != _PAPERS)
            ahead, behind = _is_ahead(best, plain, self.reference), _is_ahead(plain, best, self.reference)
            said.append((budget, "ahead of" if ahead else "behind" if behind else "level with"))
        (small, early), (large, late) = said[0], said[-1]
        if early == late:
            return f"The best Top-K is {early} psst at {small:,} " + (f"and {large:,} " if small != large else "") + "completions"
        return f"The best Top-K is {early} psst at {small:,} completions, {late} it at {large:,}"


def _is_ahead(first: Line, second: Line, reference: str) -> bool:
    """Tell a lead from noise: by the paired test where one of them is the reference, else by twice the standard error."""
    p = second.p if first.algorithm == reference else first.p if second.algorithm == reference else float("nan")
    if not np.isnan(p):
        return first.acr > second.acr and p < SIGNIFICANT
    return first.acr - second.acr > 2 * float(np.hypot(first.sem, second.sem))  # never where one run gives no standard error


def budget_curves(lines: Sequence[Line], reference: str) -> list[BudgetCurves]:
    """Return a record per environment, in order."""
    names = dict.fromkeys(line.environment for line in lines)
    return [BudgetCurves(tuple(line for line in lines if line.environment == name), reference) for name in names]


def regret_curves(record: BudgetCurves) -> BudgetCurves:
    """Return the same environment by its regret."""
    return BudgetCurves(record.lines, record.reference, "regret")


def screening_curves(record: BudgetCurves) -> BudgetCurves | None:
    """Return PSST with and without Top-K screening; None unless both were run with every budget."""
    chosen = tuple(line for line in record.lines if line.algorithm == _PAPERS or line.algorithm.partition("[")[0] == _SCREENED)
    names = {line.algorithm for line in chosen}
    if _PAPERS not in names or len(names) < 2 or len(chosen) < len(names) * len(record.budgets):
        return None
    return BudgetCurves(chosen, record.reference, "screening")


def draw_budget_curves(record: BudgetCurves, theme: Theme) -> go.Figure:
    """Draw a line per algorithm with one standard error; the oracle is a ceiling, not a line to reach it by."""
    tokens, first = TOKENS[theme], record.lines[0]
    is_regret = record.shows == "regret"
    n_runs = sorted({line.n_runs for line in record.lines})
    runs = f"{n_runs[0]} runs" if len(n_runs) == 1 else f"{n_runs[0]} to {n_runs[-1]} runs"
    subtitle = f"{escape(shortened(record.environment, 60))}, {runs}. Bars: one standard error. "
    figure = frame(
        theme=theme,
        title=record.title,
        subtitle=subtitle + f"Hollow: level with {escape(record.reference)} (Wilcoxon, p at least {SIGNIFICANT:g}).",
        height=440,
        x="completions spent (log)",
        y="regret to the training queries' best policy (log)" if is_regret else "mean ACR on held-out queries",
        is_simulated=first.is_simulated,
    )
    for i, name in enumerate(_names(record)):
        mine = sorted((line for line in record.lines if line.algorithm == name), key=lambda line: line.spent)
        figure.add_trace(_curve(record, mine, i, tokens.prompts[i % len(tokens.prompts)], is_thick=name == record.reference))
    ceilings = [line.acr for line in record.lines if line.algorithm == ORACLE]
    if ceilings and not is_regret:
        figure.add_hline(
            y=ceilings[0], line={"color": tokens.muted, "dash": "dot", "width": 1}, annotation_text="best possible (oracle)"
        )
    spent = [line.spent for line in record.lines if line.spent > 0]
    figure.update_xaxes(type="log", tickvals=round_ticks(spent), ticktext=[f"{tick:,}" for tick in round_ticks(spent)])
    if is_regret:
        figure.update_yaxes(type="log", dtick="D2")
    figure.update_layout(legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "font": {"size": 12}})
    return figure


def _names(record: BudgetCurves) -> list[str]:
    """Return the algorithms with a line of their own: those that spend something."""
    names = dict.fromkeys(line.algorithm for line in record.lines if line.algorithm != ORACLE)
    spending = [name for name in names if any(line.spent > 0 for line in record.lines if line.algorithm == name)]
    return sorted(spending, key=lambda name: name != record.reference)  # the reference has the first colour


def _curve(record: BudgetCurves, mine: Sequence[Line], i: int, color: str, *, is_thick: bool) -> go.Scatter:
    is_regret = record.shows == "regret"
    value = np.array([line.regret if is_regret else line.acr for line in mine])
    if is_regret:
        value = np.where(value > 0, value, np.nan)  # a logarithm has no place for the others, so the line has a gap
    sem = np.nan_to_num(np.array([line.regret_sem if is_regret else line.sem for line in mine]))
    symbol = _SYMBOLS[i % len(_SYMBOLS)]
    return go.Scatter(
        x=[line.spent for line in mine],
        y=value,
        error_y={
            "type": "data", "symmetric": False, "array": sem, "thickness": 1.2, "width": 3,
            "arrayminus": np.minimum(sem, 0.9 * value) if is_regret else sem,  # a bar must not reach 0 on a logarithm
        },
        name=escape(mine[0].algorithm),
        mode="lines+markers",
        line={"color": color, "width": 3 if is_thick else 1.8, "dash": "solid" if i < 8 else "dot"},
        marker={"size": 8, "symbol": [f"{symbol}-open" if line.p >= SIGNIFICANT else symbol for line in mine]},
        hovertext=[
            f"{escape(line.algorithm)}, budget {line.budget:,}<br>ACR {line.acr:.4f} ± {line.sem:.4f}"
            f"<br>regret {line.regret:.4f} ± {line.regret_sem:.4f}<br>p {line.p:.1e}"
            for line in mine
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip


def round_ticks(spent: Sequence[float]) -> list[int]:
    """Return round numbers across a logarithmic axis: 1, 2 and 5 times powers of ten."""
    if not spent:
        return []
    decades = range(int(np.log10(min(spent))), int(np.log10(max(spent))) + 2)
    ticks = [m * 10**e for e in decades for m in (1, 2, 5)]
    return [tick for tick in ticks if 0.7 * min(spent) <= tick <= 1.4 * max(spent)]
