"""PSST, Prompt Scaling via Sequential Trimming (Mahmud et al., AAAI-26), and its Top-K screening.

Sequential halving per context that shares every completion: among contexts, because only weights differ, and among scales,
because N completions are also samples of every smaller k. Where the paper is silent: the budget is a hard cap, unspent money
moves to the next round, ties are broken by the run's generator, and an unsampled arm never beats a sampled one.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2

import numpy as np

from iapo_core.arms import BoolArray, FloatArray, Grid, IntArray
from iapo_core.environment import Environment, Pulls
from iapo_core.errors import AlgorithmError
from iapo_core.estimates import Estimates
from iapo_core.events import Estimated, Event, Finished, Planned, Pulled, Trimmed
from iapo_core.policy import Policy
from iapo_core.utility import Method

DEFAULT_K = 4
DEFAULT_RHO = 0.2


def psst(
    grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator, method: Method = "blocks"
) -> Iterator[Event]:
    """Trim arms round by round until each context has one.

    Args:
        grid: The arms and contexts, (C, P, N).
        environment: Where completions come from; only its training queries are pulled.
        budget: Completions that may be spent, a hard cap.
        rng: The run's only source of randomness beside the environment.
        method: How subsets of a pull are used.

    Yields:
        Per round Planned, Pulled, Estimated, Trimmed; at the end Finished.
    """
    run = _Run(grid, environment, budget, rng, method)
    survivors = np.broadcast_to(np.arange(grid.n_arms), (len(grid.contexts), grid.n_arms))
    yield from run.trim(survivors, first_round=1, n_rounds=ceil(log2(grid.n_arms)))


def psst_topk(
    grid: Grid,
    environment: Environment,
    *,
    budget: int,
    rng: np.random.Generator,
    k: int = DEFAULT_K,
    rho: float = DEFAULT_RHO,
    method: Method = "blocks",
) -> Iterator[Event]:
    """Screen prompts at N = 1 with a share rho of the budget, then run PSST on each context's K best.

    Without guarantee: a prompt that is weak at N = 1 and scales well is lost for any K below the number of prompts.

    Args:
        grid: As for `psst`.
        environment: As for `psst`.
        budget: As for `psst`.
        rng: As for `psst`.
        k: Prompts that each context keeps.
        rho: Share of the budget spent on screening, between 0 and 1.
        method: As for `psst`.

    Yields:
        Events as `psst` does; round 1 is the screening.

    Raises:
        AlgorithmError: If k or rho does not fit.
    """
    n_candidates = len(grid.candidates)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise AlgorithmError(f"Top-K needs K of at least 1 prompt, not {k!r}.")
    if not 0 < rho < 1:
        raise AlgorithmError(f"The share of the budget for screening must lie between 0 and 1, not {rho!r}.")
    k = min(k, n_candidates)
    run = _Run(grid, environment, budget, rng, method)
    n_rounds = 1 + ceil(log2(k * grid.n_max))
    everyone = np.ones(n_candidates, dtype=int)
    yield from run.buy(1, n_rounds, "screen", everyone, int(rho * budget))
    best = run.ranked(run.estimates.q()[:, :, 0])[:, :k]  # (C, K) candidates, best at N = 1 first
    arms = (np.sort(best, axis=1)[..., None] * grid.n_max + np.arange(grid.n_max)).reshape(len(best), -1)  # (C, K N)
    yield Trimmed(round=1, alive=run.mask(arms), cut=np.full(len(best), np.nan))
    yield from run.trim(arms, first_round=2, n_rounds=n_rounds)


class _Run:
    """What a run spends and learns; one per call."""

    def __init__(self, grid: Grid, environment: Environment, budget: int, rng: np.random.Generator, method: Method) -> None:
        self.grid = grid
        self.environment = environment
        self.budget = budget
        self.spent = 0
        self.rng = rng
        self.estimates = Estimates(len(grid.candidates), grid.n_max, grid.contexts, environment.strategy, method)

    def trim(self, survivors: IntArray, *, first_round: int, n_rounds: int) -> Iterator[Event]:
        """Halve the arms of every context per round; survivors are flat arm indices, shape (C, S)."""
        for number in range(first_round, n_rounds + 1):
            # n_r = floor(T / R), with what earlier rounds could not spend carried over.
            money = (self.budget - self.spent) // (n_rounds - number + 1)
            yield from self.buy(number, n_rounds, "trim", self._scales(survivors), money)
            q = self.estimates.q().reshape(len(survivors), -1)  # (C, A)
            values = np.take_along_axis(q, survivors, axis=1)  # (C, S)
            n_kept = ceil(survivors.shape[1] / 2)
            best = self.ranked(values)[:, :n_kept]
            cut = np.take_along_axis(values, best[:, -1:], axis=1)[:, 0]
            survivors = np.sort(np.take_along_axis(survivors, best, axis=1), axis=1)
            yield Trimmed(round=number, alive=self.mask(survivors), cut=cut)
        yield Finished(spent=self.spent, policy=self._policy(survivors[:, 0]))

    def buy(self, number: int, n_rounds: int, purpose: str, scales: IntArray, money: int) -> Iterator[Event]:
        """Pull each candidate floor(money / M) times at its scale; scales are 0 where nothing is pulled, shape (P,)."""
        sizes, repeats, note = self._affordable(scales, money)
        n_completions = int(sizes @ repeats)
        yield Planned(number, n_rounds, purpose, sizes, repeats, n_completions, note)
        candidates = np.repeat(np.arange(len(sizes)), repeats)
        queries = self.rng.choice(self.environment.split.train, size=len(candidates))
        pulls = Pulls(candidates, queries, sizes[candidates])
        n_reused = n_failed = 0
        if n_completions:
            outcomes = self.environment.pull(pulls)
            self.estimates.add(pulls, outcomes)
            n_reused, n_failed = outcomes.n_reused, outcomes.n_failed
        self.spent += n_completions
        costs = self.estimates.mean_costs
        yield Pulled(number, n_completions, self.spent, n_reused, n_failed, costs)
        yield Estimated(
            round=number,
            reward=self.estimates.reward.astype(np.float32),
            half_width=self.estimates.half_width().astype(np.float32),
            n_queries=self.estimates.n_queries().astype(np.int32),
            mean_costs=costs,
        )

    def ranked(self, values: FloatArray) -> IntArray:
        """Order each row from best to worst, ties at random, nan last; shape as given."""
        noise = self.rng.random(values.shape)
        return np.lexsort((noise, -np.where(np.isnan(values), -np.inf, values)), axis=-1)

    def mask(self, survivors: IntArray) -> BoolArray:
        """Mark the surviving arms, shape (C, P, N)."""
        alive = np.zeros((len(survivors), self.grid.n_arms), dtype=bool)
        np.put_along_axis(alive, survivors, True, axis=1)
        return alive.reshape(self.grid.shape)

    def _scales(self, survivors: IntArray) -> IntArray:
        """Return the largest scale at which each candidate survives in any context, shape (P,)."""
        scales = np.zeros(len(self.grid.candidates), dtype=int)
        arms = np.unique(survivors)
        np.maximum.at(scales, arms // self.grid.n_max, arms % self.grid.n_max + 1)
        return scales

    def _affordable(self, scales: IntArray, money: int) -> tuple[IntArray, IntArray, str]:
        """Return sizes, repeats and a note; what the money cannot buy is not bought."""
        total = int(scales.sum())
        if money >= total:
            return scales, np.where(scales > 0, money // total, 0), ""
        # Not one pull of everything: least-sampled candidates first, as many as the money buys.
        waiting = np.flatnonzero(scales)
        waiting = waiting[np.lexsort((self.rng.random(len(waiting)), self.estimates.n_completions[waiting]))]
        sizes, repeats, left = np.zeros_like(scales), np.zeros_like(scales), money
        for p in waiting:
            if scales[p] <= left:
                sizes[p], repeats[p] = scales[p], 1
                left -= int(scales[p])
        if money > 0 and left == money:
            sizes[waiting[0]], repeats[waiting[0]] = money, 1
        n_pulled = int(repeats.sum())
        note = (
            f"{money} completions do not buy one pull of all {len(waiting)} prompts ({total} completions); "
            + (f"{n_pulled} of them {'is' if n_pulled == 1 else 'are'} pulled" if n_pulled else "nothing is pulled")
            + (f", at N = {money} only" if money > 0 and left == money else "")
        )
        return sizes, repeats, note

    def _policy(self, arms: IntArray) -> Policy:
        return Policy.from_picks(
            self.grid,
            arms // self.grid.n_max,
            arms % self.grid.n_max + 1,
            task=self.environment.name,
            strategy=self.environment.strategy,
            objectives=self.environment.objectives,
            is_simulated=self.environment.is_simulated,
        )
