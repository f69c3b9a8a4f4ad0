"""What a bench says: mean ACR with its standard error, regret, completions spent, and a paired test against a reference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from iapo_core.arms import FloatArray
from iapo_core.bench.cells import Row

SIGNIFICANT = 0.05


class Line(NamedTuple):
    """One algorithm with one budget in one environment, over all runs.

    `sem` is the standard error of the mean, `regret` the mean distance to the policy that is best on the training queries with a
    standard error of its own (smaller: both are of the same reshuffle), `p` Wilcoxon's signed-rank test against the reference
    over the same reshuffles, two-sided, nan where there is nothing to compare.
    """

    environment: str
    is_simulated: bool
    algorithm: str
    budget: int
    n_runs: int
    acr: float
    sem: float
    regret: float
    regret_sem: float
    spent: float
    p: float
    wall_ms: float
    coverage: dict[str, float]


def summarise(rows: Sequence[Row], reference: str) -> list[Line]:
    """Return a line per environment, budget and algorithm, in the order of the rows.

    Args:
        rows: Of a sweep.
        reference: Label of the algorithm that the others are tested against.
    """
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["environment"], row["budget"], row["algorithm"]), []).append(row)
    return [
        _line(environment, budget, algorithm, group, groups.get((environment, budget, reference), []))
        for (environment, budget, algorithm), group in groups.items()
    ]


def _line(environment: str, budget: int, algorithm: str, rows: list[Row], reference: list[Row]) -> Line:
    acr = np.array([row["acr"] for row in rows])
    regret = np.array([row["limit"] for row in rows]) - acr
    return Line(
        environment,
        bool(rows[0]["is_simulated"]),
        algorithm,
        budget,
        len(acr),
        float(acr.mean()),
        _sem(acr),
        float(regret.mean()),
        _sem(regret),
        float(np.mean([row["spent"] for row in rows])),
        _p(rows, reference),
        1e3 * float(np.median([row["wall_s"] for row in rows])),
        {kind: _share(rows, kind) for kind in ("arms", "picks", "heldout", "differences")},
    )


def _sem(values: FloatArray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _p(rows: list[Row], reference: list[Row]) -> float:
    from scipy.stats import wilcoxon

    other = {row["run"]: row["acr"] for row in reference}
    gaps = np.array([row["acr"] - other[row["run"]] for row in rows if row["run"] in other])
    if not np.any(gaps):
        return float("nan")
    return float(wilcoxon(gaps).pvalue)


def _share(rows: list[Row], kind: str) -> float:
    judged = sum(row[f"{kind}_judged"] for row in rows)
    return sum(row[f"{kind}_covered"] for row in rows) / judged if judged else float("nan")


def table(lines: Sequence[Line], reference: str) -> list[str]:
    """Return the summary as aligned lines, environments apart."""
    width = max(len(line.algorithm) for line in lines)
    found: list[str] = []
    for (environment, is_simulated), group in groupby(lines, key=lambda line: (line.environment, line.is_simulated)):
        found += ["", f"{environment}{' (SIMULATED)' if is_simulated else ''}"]
        found.append(
            f"{'budget':>8} {'algorithm':<{width}} {'ACR':>7} {'SEM':>7} {'regret':>8} {'spent':>9} {'p':>8} {'ms':>7} "
            f"{'held-out 95 %':>13}"
        )
        found += [
            f"{line.budget:>8,} {line.algorithm:<{width}} {line.acr:>7.4f} {_or_dash(line.sem, '.4f'):>7} {line.regret:>8.4f} "
            f"{line.spent:>9,.0f} {_or_dash(line.p, '.1e'):>8} {line.wall_ms:>7.1f} "
            f"{_or_dash(100 * line.coverage['heldout'], '.1f'):>13}"
            for line in group
        ]
    return [
        *found,
        "",
        f"ACR: mean over runs, exact on held-out queries. p: Wilcoxon against {reference}. ms: median. "
        "Held-out 95 %: how often that interval of a pick held the truth.",
    ]


def _or_dash(value: Any, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)
