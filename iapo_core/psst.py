"""PSST, Prompt Scaling via Sequential Trimming (Mahmud et al., AAAI-26), and its Top-K screening.

Sequential halving per context that shares every completion: among contexts, because only weights differ, and among scales,
because N completions are also samples of every smaller k. Where the paper is silent: the budget is a hard cap, unspent money
moves to the next round, ties are broken by the run's generator, and an unsampled arm never beats a sampled one.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2

import numpy as np

from iapo_core.arms import BoolArray, FloatArray, Grid, IntArray, Survivors
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
    yield from run.trim(Survivors.everything(grid.shape), first_round=1, n_rounds=ceil(log2(grid.n_arms)))


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
    contexts = grid.contexts
    q = run.estimates.reward[contexts.which, :, 0] - contexts.cost_weights[:, None] * run.estimates.mean_costs  # (C, P)
    rows = np.broadcast_to(np.arange(n_candidates), q.shape)
    kept, _ = _best(np.where(np.isnan(q), -np.inf, q), k, rng.random(n_candidates), rows)
    survivors = Survivors.of(np.broadcast_to(kept[..., None], grid.shape))
    yield Trimmed(round=1, alive=survivors, cut=np.full(len(kept), np.nan))
    yield from run.trim(survivors, first_round=2, n_rounds=n_rounds)


class _Run:
    """What a run spends and learns; one per call."""

    def __init__(self, grid: Grid, environment: Environment, budget: int, rng: np.random.Generator, method: Method) -> None:
        self.grid = grid
        self.environment = environment
        self.budget = budget
        self.spent = 0
        self.rng = rng
        self.estimates = Estimates(
            len(grid.candidates), grid.n_max, grid.contexts, environment.strategy, method, environment.objective_ranges
        )

    def trim(self, survivors: Survivors, *, first_round: int, n_rounds: int) -> Iterator[Event]:
        """Halve the arms of every context per round."""
        for number in range(first_round, n_rounds + 1):
            # n_r = floor(T / R), with what earlier rounds could not spend carried over.
            money = (self.budget - self.spent) // (n_rounds - number + 1)
            scales = (survivors.anywhere() * np.arange(1, self.grid.n_max + 1)).max(axis=1)  # (P,)
            yield from self.buy(number, n_rounds, "trim", scales, money)
            survivors, cut = self._halved(survivors)
            yield Trimmed(round=number, alive=survivors, cut=cut)
        arms = np.concatenate([mask.argmax(axis=1) for _, mask in survivors.blocks()])  # one is left per context
        yield Finished(spent=self.spent, policy=self._policy(arms))

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

    def _halved(self, survivors: Survivors) -> tuple[Survivors, FloatArray]:
        """Keep the better half of every context's arms, block by block of contexts; also return the least Q kept, (C,).

        Arms tie as one random order says, the same in all contexts, so that contexts do not keep different arms for nothing.
        """
        contexts = self.grid.contexts
        reward = np.where(np.isnan(self.estimates.reward), -np.inf, self.estimates.reward).reshape(len(contexts.distinct), -1)
        cost = np.nan_to_num(self.estimates.mean_costs[:, None] * np.arange(1, self.grid.n_max + 1)).ravel()  # (A,)
        noise = self.rng.random(self.grid.n_arms)
        parts, cuts = [], np.empty(len(contexts))
        for block, mask in survivors.blocks():
            arms = np.flatnonzero(mask).reshape(len(mask), -1)  # (c, S)
            arms -= np.arange(len(mask))[:, None] * self.grid.n_arms
            values = np.stack([reward[w].take(row) for w, row in zip(contexts.which[block], arms, strict=True)])
            paid = cost.take(arms)
            paid *= contexts.cost_weights[block, None]
            values -= paid
            kept, cuts[block] = _best(values, ceil(arms.shape[1] / 2), noise, arms)
            mask[mask] = kept.ravel()
            parts.append(np.packbits(mask))
        return Survivors(survivors.shape, np.concatenate(parts)), np.where(np.isfinite(cuts), cuts, np.nan)

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


def _best(values: FloatArray, n_kept: int, noise: FloatArray, arms: IntArray) -> tuple[BoolArray, FloatArray]:
    """Mark the n_kept highest values of each row, the least noise first among equal ones; also return the least kept, (c,).

    Args:
        values: -inf where nothing is known, shape (c, S).
        n_kept: How many stay.
        noise: One number per arm, shape (A,).
        arms: Which arm each value belongs to, shape (c, S).
    """
    cut = np.partition(values, -n_kept, axis=1)[:, -n_kept]
    kept, tied = values > cut[:, None], values == cut[:, None]
    room = n_kept - kept.sum(axis=1)
    crowded = tied.sum(axis=1) > room
    kept |= tied & ~crowded[:, None]
    for row in np.flatnonzero(crowded):
        rivals = np.flatnonzero(tied[row])
        kept[row, rivals[np.argsort(noise[arms[row, rivals]])[: room[row]]]] = True
    return kept, cut
