"""PSST-EB: candidate halving with staggered shallow pulls and a model for larger scales; ours, not the paper's.

Changes to PSST: all subsets of a pull instead of blocks; pooled rounds; overlapping windows of one random order of the queries for
the candidates; few completions of many queries, with an empirical-Bayes model of what they say about larger N; and halving of
candidates instead of arms, votes by what each adds to the expected best over resamples of the queries, with N read off the whole
curve at the end. Theorem 1 does not speak of it: judge its pick by resampling. Each change is an option, so that its worth can be
measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log2

import numpy as np

from iapo_core.arms import Grid, IntArray
from iapo_core.environment import Environment, Pulls
from iapo_core.errors import AlgorithmError
from iapo_core.events import Estimated, Event, Finished, Planned, Pulled, Trimmed
from iapo_core.policy import Policy
from iapo_core.psst_eb.beliefs import Beliefs, Model
from iapo_core.psst_eb.halving import half, halved, merits, standing
from iapo_core.psst_eb.vote_model import N_CLASSES, N_KINDS
from iapo_core.utility import Method

_SHALLOW = 4
_BEST_OF_N_DEPTH = 0.6
_FEWEST_QUERIES = 3
WINDOWS = 2.0


def psst_eb(
    grid: Grid,
    environment: Environment,
    *,
    budget: int,
    rng: np.random.Generator,
    depth: int | None = None,
    paired: bool = True,
    windows: float = WINDOWS,
    resamples: int = 100,
    kinds: int = N_KINDS,
    classes: int = N_CLASSES,
    model: Model = "full",
    pool: bool = True,
    method: Method = "subsets",
) -> Iterator[Event]:
    """Keep the half of the candidates that is expected to hold the best, per context; pick N from the modelled curves at the end.

    Args:
        grid: The arms and contexts.
        environment: Where completions come from; only its training queries are pulled.
        budget: Completions that may be spent, a hard cap.
        rng: The run's only source of randomness beside the environment.
        depth: Completions per pull; chosen by the rule of the strategy where None.
        paired: Give the candidates the same queries, or overlapping ones; else each draws its own.
        windows: How many times as many queries as one candidate sees a round covers where a model of votes compares candidates
            that saw different ones; 1 gives all the same.
        resamples: Bootstrap resamples of the queries by which votes are halved; 0 halves by the estimates alone.
        kinds: Kinds of candidates that the model of votes tells apart.
        classes: Classes of queries that it tells apart.
        model: "full"; "pooled" gives every candidate the same prior and no weights of its own; "none" estimates from what was
            observed, with pulls of the largest scale.
        pool: Estimate from all rounds, not from the last one alone.
        method: How subsets of a pull are used in Best-of-N, and in votes without a model.

    Yields:
        Per round Planned, Pulled, Estimated, Trimmed; at the end Finished.

    Raises:
        AlgorithmError: If an option does not fit.
    """
    for name, value, least in (("depth", depth, 1), ("kinds", kinds, 1), ("classes", classes, 1), ("resamples", resamples, 0)):
        if value is not None and value < least:
            raise AlgorithmError(f"psst-eb: {name} is at least {least}, not {value}.")
    if not windows >= 1:
        raise AlgorithmError(f"psst-eb: windows is at least 1, not {windows}.")
    beliefs = Beliefs(grid, environment, method, model, kinds, classes, resamples)
    run = _Run(grid, environment, rng, beliefs, depth, paired, windows, pool, model)
    rows = np.broadcast_to(np.arange(len(grid.candidates)), (len(grid.contexts), len(grid.candidates)))  # (C, m)
    n_rounds = max(ceil(log2(len(grid.candidates))), 1)
    for number in range(1, n_rounds + 1):
        yield from run.buy(number, n_rounds, np.unique(rows), (budget - run.spent) // (n_rounds - number + 1))
        stand = standing(grid, beliefs, rows, rng)
        here = np.arange(len(rows))[:, None]
        if number < n_rounds:
            kept = halved(stand.best, merits(grid, beliefs, rows, half(rows.shape[1])), rng)
            rows, cut = rows[here, kept], stand.least[here, kept].min(axis=1)
            alive = np.zeros((len(rows), len(grid.candidates)), dtype=bool)
            alive[here, rows] = True
            mask = np.broadcast_to(alive[:, :, None], grid.shape)  # a view: C P N may be large
        else:
            shuffled = rng.permutation(rows.shape[1])  # ties at random
            first = shuffled[stand.best[:, shuffled].argmax(axis=1)][:, None]
            picks, scales, cut = rows[here, first][:, 0], stand.scale[here, first][:, 0], stand.best[here, first][:, 0]
            mask = np.zeros(grid.shape, dtype=bool)
            mask[here[:, 0], picks, scales - 1] = True
        yield Trimmed(round=number, alive=mask, cut=np.where(np.isfinite(cut), cut, np.nan))
    policy = Policy.from_picks(
        grid, picks, scales, task=environment.name, strategy=environment.strategy,
        objectives=environment.objectives, is_simulated=environment.is_simulated,
    )  # fmt: skip
    yield Finished(spent=run.spent, policy=policy)


class _Run:
    """What a run spends; one per call."""

    def __init__(
        self,
        grid: Grid,
        environment: Environment,
        rng: np.random.Generator,
        beliefs: Beliefs,
        depth: int | None,
        paired: bool,
        windows: float,
        pool: bool,
        model: Model,
    ) -> None:
        self.grid, self.environment, self.rng, self.beliefs = grid, environment, rng, beliefs
        self.spent = 0
        self._depth, self._paired, self._pool, self._model = depth, paired, pool, model
        self._windows = windows if environment.strategy == "majority_vote" and model == "full" else 1.0
        self._order = rng.permutation(environment.split.train)
        self._next = 0

    def buy(self, number: int, n_rounds: int, rows: IntArray, money: int) -> Iterator[Event]:
        """Pull every active candidate on the next queries, as many as the money buys."""
        beliefs, is_active = self.beliefs, np.zeros(len(self.grid.candidates), dtype=bool)
        is_active[rows] = True
        n = self._pull_size(money, len(rows))
        n_queries = money // (len(rows) * n)
        note = ""
        if n_queries == 0:  # not one completion each: least-sampled candidates first
            order = np.lexsort((self.rng.random(len(rows)), beliefs.n_completions[rows]))
            note = f"{money} completions do not buy one of each of {len(rows)} prompts; {min(money, len(rows))} are pulled"
            rows, n_queries = np.sort(rows[order[:money]]), 1
        sizes = np.zeros(len(self.grid.candidates), dtype=int)
        repeats = np.zeros_like(sizes)
        sizes[rows], repeats[rows] = n, n_queries
        n_completions = int(sizes @ repeats)
        yield Planned(number, n_rounds, "trim", sizes, repeats, n_completions, note)
        n_reused = n_failed = 0
        if n_completions:
            if not self._pool:
                beliefs.forget()
            pulls = Pulls(np.repeat(rows, n_queries), self._queries(len(rows), n_queries), np.full(len(rows) * n_queries, n))
            outcomes = self.environment.pull(pulls)
            beliefs.add(pulls, outcomes, n)
            beliefs.update(is_active, self.rng)
            n_reused, n_failed = outcomes.n_reused, outcomes.n_failed
        self.spent += n_completions
        costs = beliefs.mean_costs
        yield Pulled(number, n_completions, self.spent, n_reused, n_failed, costs)
        yield Estimated(
            round=number,
            reward=beliefs.reward.astype(np.float32),
            half_width=beliefs.half_width.astype(np.float32),
            n_queries=np.repeat(beliefs.n_queries[:, None], self.grid.n_max, axis=1).astype(np.int32),
            mean_costs=costs,
        )

    def _pull_size(self, money: int, n_rows: int) -> int:
        strategy, n_max = self.environment.strategy, self.grid.n_max
        if self._depth is not None:
            n = self._depth
        elif strategy == "mixed" or self._model == "none":
            n = n_max  # no model: every scale is observed
        elif strategy == "majority_vote":
            n = _SHALLOW
        else:
            n = max(round(_BEST_OF_N_DEPTH * (money / n_rows) ** 0.5), 2)
        n = min(n, n_max)
        while n > 1 and money // (n_rows * n) < _FEWEST_QUERIES:
            n -= 1
        return n

    def _queries(self, n_rows: int, n_queries: int) -> IntArray:
        """Return the next queries of each candidate, in the order of the candidates, shape (n_rows n_queries,).

        Windows of one random order, evenly staggered over the candidates in random order: all together see more queries than
        one of them, and any two share some, so that a batch of easy queries flatters fewer at once.
        """
        if not self._paired:
            return self.rng.choice(self._order, n_rows * n_queries)
        reach = min(int(self._windows * n_queries), max(len(self._order), n_queries))
        starts = self.rng.permutation(n_rows) * (reach - n_queries + 1) // n_rows
        offsets = self._next + starts[:, None] + np.arange(n_queries)
        self._next += reach
        chosen: IntArray = self._order[offsets.ravel() % len(self._order)]
        return chosen
