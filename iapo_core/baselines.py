"""What PSST is compared with: uniform, epsilon-greedy, softmax, UCB, TRIPLE and random arms, with the same sharing of data.

Settings after Mahmud et al., AAAI-26, evaluation. The bandits pull in small batches instead of one at a time, so that a run of
20,000 completions takes a second; between batches every estimate is updated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice
from math import ceil, log2

import numpy as np

from iapo_core.arms import FloatArray, Grid, IntArray
from iapo_core.environment import Environment, Pulls
from iapo_core.estimates import Estimates
from iapo_core.events import Estimated, Event, Finished, Planned, Pulled, Trimmed
from iapo_core.policy import Policy

EPSILON = 0.15
TEMPERATURE = 0.05
EXPLORATION = 0.1
_ROUNDS = 10  # how often a bandit reports; it decides more often
_BATCH = 8  # pulls between two decisions
_BLIND_BATCH = 512  # pulls of a rule that decides nothing meanwhile

Rule = Callable[["_Bandit"], tuple[IntArray, IntArray]]  # -> candidate rows and scales of the next pulls


class _Bandit:
    """What a baseline spends and learns; one per call."""

    def __init__(self, grid: Grid, environment: Environment, budget: int, rng: np.random.Generator) -> None:
        self.grid, self.environment, self.budget, self.rng = grid, environment, budget, rng
        self.spent = 0
        self.left = 0  # of the round's money
        self.estimates = Estimates(
            len(grid.candidates), grid.n_max, grid.contexts, environment.strategy, "blocks", environment.objective_ranges
        )

    def report(self, number: int, n_rounds: int, money: int, rule: Rule) -> Iterator[Event]:
        """Spend the round's money by the rule, then yield what happened."""
        before, n_reused, n_failed = self.spent, 0, 0
        repeats = np.zeros(len(self.grid.candidates), dtype=int)
        largest = np.zeros_like(repeats)
        while (left := money - (self.spent - before)) > 0:
            self.left = left
            candidates, scales = rule(self)
            scales = np.minimum(scales, np.maximum(left - (np.cumsum(scales) - scales), 0))  # the last pull takes what is left
            candidates, scales = candidates[scales > 0], scales[scales > 0]
            if not len(candidates):
                break
            pulls = Pulls(candidates, self.rng.choice(self.environment.split.train, size=len(candidates)), scales)
            outcomes = self.environment.pull(pulls)
            self.estimates.add(pulls, outcomes)
            self.spent += pulls.n_completions
            n_reused, n_failed = n_reused + outcomes.n_reused, n_failed + outcomes.n_failed
            np.add.at(repeats, candidates, 1)
            np.maximum.at(largest, candidates, scales)
        drawn = self.spent - before
        yield Planned(number, n_rounds, "spend", largest, repeats, drawn)
        costs = self.estimates.mean_costs
        yield Pulled(number, drawn, self.spent, n_reused, n_failed, costs)
        yield Estimated(
            round=number,
            reward=self.estimates.reward.astype(np.float32),
            half_width=self.estimates.half_width().astype(np.float32),
            n_queries=self.estimates.n_queries().astype(np.int32),
            mean_costs=costs,
        )

    def best(self, values: FloatArray) -> IntArray:
        """Return the best flat arm per context, ties at random, nan last; values of shape (C, P, N)."""
        flat = values.reshape(len(values), -1)
        arms: IntArray = np.lexsort((self.rng.random(flat.shape), -np.where(np.isnan(flat), -np.inf, flat)), axis=-1)[:, 0]
        return arms

    def ending(self, number: int, arms: IntArray) -> Iterator[Event]:
        """Yield the last trim and the policy; arms are flat indices, shape (C,)."""
        alive = np.zeros((len(arms), self.grid.n_arms), dtype=bool)
        alive[np.arange(len(arms)), arms] = True
        yield Trimmed(number, alive.reshape(self.grid.shape), np.full(len(arms), np.nan))
        environment = self.environment
        policy = Policy.from_picks(
            self.grid,
            arms // self.grid.n_max,
            arms % self.grid.n_max + 1,
            task=environment.name,
            strategy=environment.strategy,
            objectives=environment.objectives,
            is_simulated=environment.is_simulated,
        )
        yield Finished(spent=self.spent, policy=policy)


def _play(bandit: _Bandit, rule: Rule) -> Iterator[Event]:
    """Spend the budget in equal rounds by one rule; every arm stays until the end."""
    everything = np.ones(bandit.grid.shape, dtype=bool)
    for number in range(1, _ROUNDS + 1):
        yield from bandit.report(number, _ROUNDS, (bandit.budget - bandit.spent) // (_ROUNDS - number + 1), rule)
        if number < _ROUNDS:
            yield Trimmed(number, everything, np.full(len(bandit.grid.contexts), np.nan))
    yield from bandit.ending(_ROUNDS, bandit.best(bandit.estimates.q()))


def uniform(grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator) -> Iterator[Event]:
    """Pull every prompt at N_max in turn, then take the best arm per context."""
    turn = count()
    n_candidates = len(grid.candidates)

    def rule(bandit: _Bandit) -> tuple[IntArray, IntArray]:
        is_last = bandit.left == bandit.budget - bandit.spent  # only then is a pull cut short
        n_pulls = min(max(_BLIND_BATCH // grid.n_max, 1), max(bandit.left // grid.n_max, int(is_last)))
        rows = np.array(list(islice(turn, n_pulls)), dtype=int) % n_candidates
        return rows, np.full(n_pulls, grid.n_max)

    return _play(_Bandit(grid, environment, budget, rng), rule)


def epsilon_greedy(
    grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator, epsilon: float = EPSILON
) -> Iterator[Event]:
    """Pull a random arm with probability epsilon, else the best arm of a random context."""

    def choose(bandit: _Bandit, context: int, q: FloatArray) -> int:
        if bandit.rng.random() < epsilon:
            return int(bandit.rng.integers(q.size))
        return int(bandit.best(q[None])[0])

    return _play(_Bandit(grid, environment, budget, rng), _one_by_one(choose))


def softmax(
    grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator, temperature: float = TEMPERATURE
) -> Iterator[Event]:
    """Pull an arm of a random context with probability proportional to exp(Q / temperature)."""

    def choose(bandit: _Bandit, context: int, q: FloatArray) -> int:
        flat = np.where(np.isnan(q), np.nanmax(q), q).ravel()
        weight = np.exp((flat - flat.max()) / temperature)
        return int(bandit.rng.choice(flat.size, p=weight / weight.sum()))

    return _play(_Bandit(grid, environment, budget, rng), _one_by_one(choose))


def ucb(
    grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator, c: float = EXPLORATION
) -> Iterator[Event]:
    """Pull the arm of a random context with the highest Q + c sqrt(ln t / pulls)."""

    def choose(bandit: _Bandit, context: int, q: FloatArray) -> int:
        pulls = bandit.estimates.n_pulls
        with np.errstate(divide="ignore"):
            bonus = c * np.sqrt(np.log(max(int(pulls.max()), 2)) / pulls)
        return int(bandit.best((np.where(np.isnan(q), 0.0, q) + bonus)[None])[0])

    return _play(_Bandit(grid, environment, budget, rng), _one_by_one(choose))


def random_arm(grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator) -> Iterator[Event]:
    """Spend nothing and take an arm at random in each context."""
    bandit = _Bandit(grid, environment, budget, rng)
    yield from bandit.report(1, 1, 0, lambda _: (np.empty(0, dtype=int), np.empty(0, dtype=int)))
    yield from bandit.ending(1, rng.integers(grid.n_arms, size=len(grid.contexts)))


def triple(
    grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator, random_scale: bool = False
) -> Iterator[Event]:
    """Halve prompts by their Q at N = 1 (Shi et al., 2024) and deploy N = 1, or a random N: prompt tuning alone."""
    bandit = _Bandit(grid, environment, budget, rng)
    n_contexts, n_candidates = len(grid.contexts), len(grid.candidates)
    active = np.ones((n_contexts, n_candidates), dtype=bool)
    n_rounds = max(ceil(log2(n_candidates)), 1)
    for number in range(1, n_rounds + 1):
        rows = np.flatnonzero(active.any(axis=0))
        queue = _cycle(rows, bandit.rng)
        money = (budget - bandit.spent) // (n_rounds - number + 1)
        yield from bandit.report(number, n_rounds, money, lambda bandit, q=queue: _first(q, bandit.left))  # type: ignore[misc]
        q = np.where(active, np.nan_to_num(bandit.estimates.q()[:, :, 0], nan=-1e300), -np.inf)
        order = np.lexsort((rng.random(q.shape), -q), axis=-1)
        kept = order[:, : 1 if number == n_rounds else ceil(int(active[0].sum()) / 2)]
        active = np.zeros_like(active)
        np.put_along_axis(active, kept, True, axis=1)
        if number < n_rounds:
            yield Trimmed(number, np.repeat(active[:, :, None], grid.n_max, axis=2), np.full(n_contexts, np.nan))
    scales = rng.integers(grid.n_max, size=n_contexts) if random_scale else np.zeros(n_contexts, dtype=int)
    yield from bandit.ending(n_rounds, active.argmax(axis=1) * grid.n_max + scales)


def triple_random(grid: Grid, environment: Environment, *, budget: int, rng: np.random.Generator) -> Iterator[Event]:
    """TRIPLE with a random N."""
    return triple(grid, environment, budget=budget, rng=rng, random_scale=True)


def _one_by_one(choose: Callable[[_Bandit, int, FloatArray], int]) -> Rule:
    """Let a rule choose arms for random contexts; until each prompt was pulled once, pull those at N_max."""

    def rule(bandit: _Bandit) -> tuple[IntArray, IntArray]:
        n_max = bandit.grid.n_max
        fresh = np.flatnonzero(bandit.estimates.n_completions == 0)
        if len(fresh):
            return bandit.rng.permutation(fresh), np.full(len(fresh), n_max)
        q = bandit.estimates.q()
        contexts = bandit.rng.integers(len(q), size=_BATCH)
        arms = np.array([choose(bandit, int(c), q[c]) for c in contexts])
        return arms // n_max, arms % n_max + 1

    return rule


def _first(queue: Iterator[int], n: int) -> tuple[IntArray, IntArray]:
    """Return the next candidates of a queue for pulls of one completion, at most as many as there is money for."""
    rows = np.array(list(islice(queue, min(n, _BLIND_BATCH))), dtype=int)
    return rows, np.ones(len(rows), dtype=int)


def _cycle(rows: IntArray, rng: np.random.Generator) -> Iterator[int]:
    """Walk through the rows in random orders, none twice before all were met once."""
    while True:
        yield from rng.permutation(rows).tolist()
