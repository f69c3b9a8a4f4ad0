"""A bench as one page of HTML that opens without a network, in light and dark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from iapo_core.bench.reach import Reach
from iapo_core.bench.summary import Line
from iapo_core.outputs.budgets import budget_curves, draw_budget_curves, regret_curves, screening_curves
from iapo_core.outputs.palette import TOKENS
from iapo_core.outputs.reach import draw_reached, reached

_SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  for (const [id, both] of Object.entries(FIGURES)) {
    const figure = both[dark.matches ? "dark" : "light"];
    Plotly.react(id, figure.data, figure.layout, {displaylogo: false, showSendToCloud: false, responsive: true});
  }
}
dark.addEventListener("change", draw);
draw();
"""


def _table(frame: pd.DataFrame) -> str:
    """Return a table of one environment, whose name stands above it."""
    html = frame.drop(columns="environment").to_html(index=False, border=0, float_format=_figure, na_rep="")
    return f'<div class="wide">{html}</div>'


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.0e}"


def bench_page(lines: Sequence[Line], found: Sequence[Reach], reference: str) -> str:
    """Return the page: per environment the headline, the paper's Figures 4 and 5, regret, and a table.

    Args:
        lines: Summary of the bench.
        found: What each algorithm needs to reach the reference.
        reference: Label of the algorithm that the others are compared with.
    """
    figures: dict[str, dict[str, Any]] = {}
    headlines = reached(found)
    parts: list[str] = []

    def show(record: Any, draw: Any) -> None:
        name = f"figure-{len(figures)}"
        figures[name] = {theme: json.loads(draw(record, theme).to_json()) for theme in ("light", "dark")}
        parts.append(f'<div id="{name}" role="img" aria-label="{escape(record.alt)}"></div>')

    for record in budget_curves(lines, reference):
        mark = " (SIMULATED)" if record.lines[0].is_simulated else ""
        parts.append(f"<h2>{escape(record.environment)}{mark}</h2>")
        if record.environment in headlines:
            show(headlines[record.environment], draw_reached)
        show(record, draw_budget_curves)
        if (screened := screening_curves(record)) is not None:
            show(screened, draw_budget_curves)
        show(regret_curves(record), draw_budget_curves)
        parts += [_table(record.table())] + [
            _table(headlines[name].table()) for name in [record.environment] if name in headlines
        ]
    data = json.dumps(figures).replace("<", "\\u003c")
    light, dark = TOKENS["light"], TOKENS["dark"]
    style = (
        f"body{{font-family:sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:{light.text};background:{light.paper}}}"
        f"@media(prefers-color-scheme:dark){{body{{color:{dark.text};background:{dark.paper}}}}}"
        "td,th{padding:2px 10px;text-align:right;white-space:nowrap}.wide{overflow-x:auto;margin:1em 0}"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>IAPO bench</title><style>{style}</style><script>{get_plotlyjs()}</script></head><body><h1>IAPO bench</h1>"
        f"<p>Mean ACR over runs, exact on held-out queries; completions spent, never those asked for. p: Wilcoxon's signed-rank test "
        f"against {escape(reference)} over the same reshuffles.</p>{''.join(parts)}"
        f"<script>const FIGURES = {data};{_SCRIPT}</script></body></html>"
    )
