"""What a run of PSST-EB holds for true: rewards of every arm, how sure it is, and what other queries might have shown."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from iapo_core.arms import BoolArray, FloatArray, Grid, IntArray
from iapo_core.environment import Environment, Outcomes, Pulls
from iapo_core.errors import TaskError
from iapo_core.estimates import Estimates, t_quantile
from iapo_core.psst_eb.tail_model import extended_maxima
from iapo_core.psst_eb.vote_cells import VoteCells
from iapo_core.psst_eb.vote_model import Fit, fit_pooled, fit_votes
from iapo_core.utility import Method

Model = Literal["full", "pooled", "none"]
_FEWEST_RESAMPLED = 10  # a resample of fewer queries says little
_MOST_RESAMPLED, _MOST_COMPARED = 128, 2**15  # candidates, and those times contexts: more would take too long
_N_SCALES = 12  # at which resamples are compared


class Resamples(NamedTuple):
    """Rewards that other draws of the queries might have shown."""

    candidates: IntArray  # (r,)
    scales: IntArray  # (K,)
    credit: FloatArray  # (K, B, r), before the weight of the vote


class Beliefs:
    """Estimates of a run, from all of its rounds or from the last one.

    Args:
        grid: The arms and contexts.
        environment: What the completions come from.
        method: How the subsets of a pull are used where no model of votes is.
        model: "full", "pooled" (one prior for all candidates, no weights of their own) or "none" (what was observed).
        kinds: Kinds of candidates in the model of votes.
        classes: Classes of queries in it.
        resamples: How many resamples of the queries an update makes.
    """

    def __init__(
        self, grid: Grid, environment: Environment, method: Method, model: Model, kinds: int, classes: int, resamples: int
    ) -> None:
        self._grid, self._environment, self._method, self._model = grid, environment, method, model
        self._kinds, self._classes, self._n_resamples = kinds, classes, resamples
        self._has_votes = environment.strategy == "majority_vote" and model != "none"
        n_candidates = len(grid.candidates)
        shape = (len(grid.contexts.distinct), n_candidates, grid.n_max)
        self.reward = np.full(shape, np.nan)  # (W, P, N)
        self.half_width = np.full(shape, np.nan)
        self.n_completions: IntArray = np.zeros(n_candidates, dtype=int)
        self.n_queries: IntArray = np.zeros(n_candidates, dtype=int)
        self.strength: float | None = None
        self.resamples: Resamples | None = None
        self._cost_sum = np.zeros(n_candidates)
        self._spread = np.zeros((n_candidates, grid.n_max))  # of the credit over the last resamples a candidate was in
        self.forget()

    def forget(self) -> None:
        """Drop what was drawn; rewards, costs and counts of completions stay until they are estimated anew."""
        grid, environment = self._grid, self._environment
        self._votes = VoteCells()
        self._utilities: dict[tuple[int, int], list[FloatArray]] = {}  # (candidate, depth) -> utilities (cells, W, n)
        self._direct = Estimates(
            len(grid.candidates), grid.n_max, grid.contexts, environment.strategy, self._method, environment.objective_ranges
        )

    @property
    def mean_costs(self) -> FloatArray:
        """Mean cost of one completion, nan where unsampled, shape (P,)."""
        with np.errstate(invalid="ignore"):
            cost: FloatArray = self._cost_sum / self.n_completions
        return cost

    def add(self, pulls: Pulls, outcomes: Outcomes, n: int) -> None:
        """Take in pulls of n completions each."""
        n_candidates, candidates = len(self._grid.candidates), pulls.candidates
        self.n_completions += n * np.bincount(candidates, minlength=n_candidates)
        self._cost_sum += np.bincount(candidates, outcomes.costs[:, :n].sum(axis=1), minlength=n_candidates)
        if self._has_votes:
            if outcomes.answers is None or outcomes.gold is None:
                raise TaskError("The environment returned no answers to vote on, as the strategy needs.")
            self._votes.add(candidates, pulls.queries, outcomes.answers, outcomes.gold)
            return
        self._direct.add(pulls, outcomes)
        if self._environment.strategy == "best_of_n" and self._model != "none" and outcomes.objectives is not None:
            utilities = np.einsum("mnk,wk->mwn", outcomes.objectives, self._grid.contexts.distinct)
            for p in np.unique(candidates):
                self._utilities.setdefault((int(p), n), []).append(utilities[candidates == p])

    def update(self, active: BoolArray, rng: np.random.Generator) -> None:
        """Estimate anew; the active candidates, shape (P,), are resampled."""
        self.resamples = None
        if self._has_votes:
            self._update_votes(active, rng)
            return
        observed = self._direct.reward
        half = self._direct.half_width()
        self.n_queries = self._direct.n_queries()[:, 0]
        if self._environment.strategy == "best_of_n" and self._model != "none":
            for p in {candidate for candidate, _ in self._utilities}:
                cells = [np.concatenate(parts) for (candidate, _), parts in self._utilities.items() if candidate == p]
                self.reward[:, p] = extended_maxima(cells, self._grid.n_max, self._method)
        else:
            self.reward = np.where(np.isnan(observed), self.reward, observed)
        # Beyond what was drawn at once, the interval is the widest of what was.
        deepest = np.fmax.accumulate(np.where(np.isnan(half), -np.inf, half), axis=2)
        self.half_width = np.where(np.isnan(half), np.where(np.isfinite(deepest), deepest, np.nan), half)

    def _update_votes(self, active: BoolArray, rng: np.random.Generator) -> None:
        cells = self._votes.table(self._grid.n_max)
        fit = fit_votes(cells, self._kinds, self._classes) if self._model == "full" else fit_pooled(cells)
        self.strength = fit.strength
        weight = self._grid.contexts.distinct[:, 0, None, None]
        self.reward[:, cells.rows] = weight * fit.credit
        n_queries = np.bincount(cells.candidates, minlength=len(cells.rows))
        self.n_queries[cells.rows] = n_queries
        with np.errstate(invalid="ignore"):
            quantile = np.where(n_queries > 1, t_quantile(np.maximum(n_queries - 1.0, 1.0)), np.nan)
        places = np.flatnonzero(active[cells.rows])
        is_many = len(places) > min(_MOST_RESAMPLED, _MOST_COMPARED // len(self._grid.contexts))
        if self._n_resamples and len(places) and not is_many and self._votes.n_queries >= _FEWEST_RESAMPLED:
            self.resamples = self._resampled(fit, places, rng)
        error = np.fmax(np.sqrt(fit.variance / n_queries[:, None]), self._spread[cells.rows])
        self.half_width[:, cells.rows] = weight * error * quantile[:, None]

    def _resampled(self, fit: Fit, places: IntArray, rng: np.random.Generator) -> Resamples:
        """Resample the queries; how far the resamples spread, in kind and shift too, is kept for the intervals."""
        n_max = self._grid.n_max
        scales = np.unique(np.geomspace(1, n_max, _N_SCALES).round().astype(int))
        credit = fit.resampled(places, self._n_resamples, rng, scales)
        rows = fit.cells.rows[places]
        self._spread[rows] = [np.interp(np.arange(1, n_max + 1), scales, one) for one in credit.std(axis=1).T]
        return Resamples(rows, scales, credit)
