"""The headline of a bench: how many completions an algorithm needs for what the reference reaches with its largest budget.

An algorithm's mean ACR against its mean completions spent is made monotone (isotonic regression, so that noise between two
budgets does not decide) and interpolated linearly in the logarithm of what was spent. The interval is a bootstrap over runs: all
algorithms met the same reshuffles, so a resample takes the same runs of each, and the reference's level is resampled too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from iapo_core.arms import FloatArray
from iapo_core.bench.cells import Row

N_RESAMPLES = 1_000
_SEED = 0xB0075


class Reach(NamedTuple):
    """What one algorithm needs in one environment.

    Attributes:
        environment: Its name.
        is_simulated: True where no model stands behind it.
        algorithm: Its label.
        reference: Whose level is to be reached.
        n_runs: Over how many runs both were compared.
        level: Mean ACR of the reference at its largest budget, over these runs.
        reference_spent: Completions that the reference spent on it, on average.
        completions: What the algorithm needs; at most that where `is_at_most`, infinite where its largest budget does not do.
        low: Lower end of the 95 % bootstrap interval, its smallest spend where less may do.
        high: Upper end, infinite where its largest budget may not do.
        is_at_most: True where already its smallest budget reaches the level.
        smallest: Completions that its smallest budget spent.
        largest: Completions that its largest budget spent.
    """

    environment: str
    is_simulated: bool
    algorithm: str
    reference: str
    n_runs: int
    level: float
    reference_spent: float
    completions: float
    low: float
    high: float
    is_at_most: bool
    smallest: float
    largest: float

    @property
    def ratio(self) -> float:
        """How many times fewer completions than the reference; 0 where the level is not reached."""
        return self.reference_spent / self.completions

    @property
    def words(self) -> str:
        """The finding, as in `762 [428, 896] (26 x fewer)`."""
        if not np.isfinite(self.completions):
            may = f", as few as {self.low:,.0f} may do" if np.isfinite(self.low) else ""
            return f"not within {self.largest:,.0f}{may}"
        high = f"{self.high:,.0f}" if np.isfinite(self.high) else f"over {self.largest:,.0f}"
        times = (
            f"{'at least ' * self.is_at_most}{self.ratio:.1f} x fewer" if self.ratio > 0.99 else f"{1 / self.ratio:.1f} x more"
        )
        return f"{'at most ' * self.is_at_most}{self.completions:,.0f} [{self.low:,.0f}, {high}] ({times})"


def reaches(rows: Sequence[Row], reference: str) -> list[Reach]:
    """Return what each algorithm but the reference needs, environment by environment.

    Left out: algorithms that spend nothing, and environments where the reference has no run.

    Args:
        rows: Of a sweep.
        reference: Label of the algorithm whose level is to be reached.
    """
    found: list[Reach] = []
    for name in dict.fromkeys(row["environment"] for row in rows):
        mine = [row for row in rows if row["environment"] == name]
        runs = sorted({row["run"] for row in mine})
        curves = {
            label: curve
            for label in dict.fromkeys(row["algorithm"] for row in mine)
            if (curve := _curve([row for row in mine if row["algorithm"] == label], runs)) is not None
        }
        if reference in curves:
            is_simulated = bool(mine[0]["is_simulated"])
            pairs = ((label, curve) for label, curve in curves.items() if label != reference)
            made = (_reach(name, is_simulated, label, reference, curve, curves[reference]) for label, curve in pairs)
            found += [one for one in made if one is not None]
    return found


class _Curve(NamedTuple):
    acr: FloatArray  # (B, R), nan where a run was not made
    spent: FloatArray  # (B,), rising


def _curve(rows: Sequence[Row], runs: Sequence[int]) -> _Curve | None:
    """Return ACR per budget and run; None where some budget spends nothing."""
    amounts = sorted({row["budget"] for row in rows})
    place = {run: i for i, run in enumerate(runs)}
    acr, spent = np.full((2, len(amounts), len(runs)), np.nan)
    for row in rows:
        acr[amounts.index(row["budget"]), place[row["run"]]] = row["acr"]
        spent[amounts.index(row["budget"]), place[row["run"]]] = row["spent"]
    means = np.nanmean(spent, axis=1)
    if not (means > 0).all():
        return None
    order = np.argsort(means)
    return _Curve(acr[order], means[order])


def _reach(name: str, is_simulated: bool, label: str, reference: str, curve: _Curve, level_curve: _Curve) -> Reach | None:
    """Compare over the runs that both have in full; None where there is none, as in a bench that was stopped early."""
    is_common = ~np.isnan(curve.acr).any(axis=0) & ~np.isnan(level_curve.acr).any(axis=0)
    n_runs = int(is_common.sum())
    if not n_runs:
        return None
    rng = np.random.default_rng(_SEED)
    # How often each run is drawn; the first row takes every run once.
    weights = np.vstack([np.ones(n_runs), rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=N_RESAMPLES)]) / n_runs
    levels = weights @ level_curve.acr[-1, is_common]  # (Z,)
    means = weights @ curve.acr[:, is_common].T  # (Z, B)
    needed, *resampled = (_needed(curve.spent, mean, level) for mean, level in zip(means, levels, strict=True))
    # Not interpolated: a mean with an infinite neighbour would be infinite.
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
    return Reach(
        environment=name,
        is_simulated=is_simulated,
        algorithm=label,
        reference=reference,
        n_runs=n_runs,
        level=float(levels[0]),
        reference_spent=float(level_curve.spent[-1]),
        completions=needed,
        low=float(low),
        high=float(high),
        is_at_most=bool(needed == curve.spent[0]),
        smallest=float(curve.spent[0]),
        largest=float(curve.spent[-1]),
    )


def _needed(spent: FloatArray, acr: FloatArray, level: float) -> float:
    """Return the completions at which a curve reaches the level, infinite where it does not; both of shape (B,)."""
    monotone = _monotone(acr)
    above = np.flatnonzero(monotone >= level - 1e-12)
    if not len(above):
        return float("inf")
    i = int(above[0])
    if i == 0:
        return float(spent[i])
    share = (level - monotone[i - 1]) / (monotone[i] - monotone[i - 1])
    return float(spent[i - 1] * (spent[i] / spent[i - 1]) ** share)  # linear in the logarithm


def _monotone(values: FloatArray) -> FloatArray:
    """Return the non-decreasing values nearest to these (pool adjacent violators), shape (B,)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, size = value, 1
        while blocks and blocks[-1][0] > mean:
            earlier, n = blocks.pop()
            mean, size = (earlier * n + mean * size) / (n + size), n + size
        blocks.append((mean, size))
    return np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])


def reach_table(found: Sequence[Reach]) -> list[str]:
    """Return the headline as aligned lines; nothing where there is nothing to compare."""
    if not found:
        return []
    width = max(len(one.algorithm) for one in found)
    lines: list[str] = []
    for key in dict.fromkeys((one.environment, one.is_simulated) for one in found):
        first = next(one for one in found if one.environment == key[0])
        lines += [
            "",
            f"{key[0]}{' (SIMULATED)' if key[1] else ''}: completions to reach ACR {first.level:.4f}, what {first.reference} has with "
            f"{first.reference_spent:,.0f} [95 % bootstrap over runs]",
        ]
        lines += [f"  {one.algorithm:<{width}} {one.words}" for one in found if one.environment == key[0]]
    return lines
