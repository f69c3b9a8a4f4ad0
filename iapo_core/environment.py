"""Where completions come from: the protocol that every environment keeps."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, cast, runtime_checkable

import numpy as np

from iapo_core.arms import Contexts, FloatArray, Grid, IntArray
from iapo_core.errors import PolicyError, TaskError
from iapo_core.intervals import mean_of_drawn
from iapo_core.policy import Policy
from iapo_core.task import Strategy

HELDOUT_SHARE = 0.2
NO_VOTE = -1


class Pulls(NamedTuple):
    """A batch: pull i draws sizes[i] completions of candidates[i] on queries[i]."""

    candidates: IntArray  # (M,)
    queries: IntArray  # (M,)
    sizes: IntArray  # (M,)

    @property
    def n_completions(self) -> int:
        """What the batch costs, in completions."""
        return int(self.sizes.sum())


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a batch of pulls returned; row i belongs to pull i, columns beyond its size are padding.

    A failed completion is data: it scores its objectives' minimum, votes for nothing and is counted in `n_failed`.

    Attributes:
        costs: Cost of each completion in the task's unit, 0 in the padding, shape (M, n).
        objectives: Scores, shape (M, n, K); None where only votes count.
        answers: Answer codes, NO_VOTE where there is none, shape (M, n); None where nothing is voted on.
        gold: Code of the right answer of each pull's query, shape (M,); None where nothing is voted on.
        n_reused: How many of the completions were already in the store.
        n_failed: How many carry an error instead of an answer.
    """

    costs: FloatArray
    objectives: FloatArray | None = None
    answers: IntArray | None = None
    gold: IntArray | None = None
    n_reused: int = 0
    n_failed: int = 0


class Split(NamedTuple):
    """Query rows to learn from and query rows kept aside for the final estimate."""

    train: IntArray  # (X_train,)
    heldout: IntArray  # (X_heldout,)


def split_queries(n_queries: int, seed: int) -> Split:
    """Shuffle the queries and keep 20 % aside (Mahmud et al., AAAI-26, evaluation).

    Raises:
        TaskError: If there are fewer than two queries.
    """
    if n_queries < 2:
        raise TaskError(f"{n_queries} query cannot be split into training and held-out queries; give at least 2.")
    return split_order(np.random.default_rng([seed, 0x5B117]).permutation(n_queries))


def split_order(order: IntArray) -> Split:
    """Keep the first 20 % of queries in random order aside, shape (X',), at least one and never all."""
    n_heldout = min(max(round(HELDOUT_SHARE * len(order)), 1), len(order) - 1)
    return Split(train=np.sort(order[n_heldout:]), heldout=np.sort(order[:n_heldout]))


@runtime_checkable
class Environment(Protocol):
    """A source of completions. `pull` may be called by one run at a time; `for_run` gives each run its own.

    Who fails how: a failed completion is a row of the outcomes; a systemic failure raises an IapoError.
    """

    name: str
    is_simulated: bool
    strategy: Strategy
    objectives: tuple[str, ...]
    candidates: tuple[str, ...]
    n_max: int
    contexts: Contexts
    split: Split
    objective_ranges: FloatArray  # (K, 2), lowest and highest score

    def for_run(self, seed: int) -> Self:
        """Return this environment at the start of its completions: equal seeds give equal draws."""
        ...

    def pull(self, pulls: Pulls) -> Outcomes:
        """Draw the batch; completions of one (candidate, query) are independent and never served twice in a pull."""
        ...

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        """Return the reward before cost per (distinct weights, candidate, query, N), shape (W, P, X', N).

        Exact where the distribution is known, else the minimum-variance estimate from every stored completion; nan where a live
        run has drawn too few.
        """
        ...

    def mean_costs(self) -> FloatArray:
        """Return the mean cost of one completion per candidate, in the task's unit, shape (P,)."""
        ...


class Oracle(NamedTuple):
    """A policy and its ACR on the held-out queries."""

    policy: Policy
    acr: float


class Evaluated:
    """What every environment with reward curves can say about a policy; mixed into the classes that keep the protocol."""

    name: str
    is_simulated: bool
    strategy: Strategy
    objectives: tuple[str, ...]
    candidates: tuple[str, ...]
    n_max: int
    contexts: Contexts
    split: Split
    objective_ranges: FloatArray
    has_fixed_split = False

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        """Return the reward before cost, shape (W, P, X', N)."""
        raise NotImplementedError

    def mean_costs(self) -> FloatArray:
        """Return the mean cost per completion, shape (P,)."""
        raise NotImplementedError

    @property
    def n_queries(self) -> int:
        """X, training and held-out."""
        raise NotImplementedError

    def reshuffled(self, seed: int) -> Self:
        """Return this with other training and held-out queries, unless they are fixed; what is known of cells is shared."""
        other = copy.copy(self)
        if not self.has_fixed_split:
            other.split = split_queries(self.n_queries, seed)
        return other

    def q_values(self, queries: IntArray, contexts: Contexts | None = None) -> FloatArray:
        """Return Q(c, p, k) on these queries, nan for arms that were not drawn there, shape (C, P, N)."""
        contexts = contexts or self.contexts
        return self.net_of_cost(mean_of_drawn(self.reward_curves(queries, contexts.distinct), axis=2), contexts)

    def net_of_cost(self, reward: FloatArray, contexts: Contexts) -> FloatArray:
        """Return Q(c, p, k) of mean rewards of shape (W, P, N), shape (C, P, N)."""
        scales = np.arange(1, self.n_max + 1)
        cost = self.mean_costs()[:, None] * scales  # (P, N)
        q: FloatArray = reward[contexts.which] - contexts.cost_weights[:, None, None] * cost
        return q

    def acr(self, policy: Policy) -> float:
        """Return the average contextual return on the held-out queries (Mahmud et al., AAAI-26, evaluation).

        Exact where the distribution is known; from all stored completions in a recording.

        Raises:
            ContextError: If the policy's weights cannot be used.
            PolicyError: If it picks a candidate or a scale that is not here.
        """
        contexts = Contexts(
            policy.contexts,
            np.array([[choice.weights.get(o, 0.0) for o in self.objectives] for choice in policy.choices]),
            np.array([choice.cost_weight for choice in policy.choices]),
        )
        for choice in policy.choices:
            if choice.candidate not in self.candidates or choice.n > self.n_max:
                raise PolicyError(
                    f"{self.name!r} has no arm ({choice.candidate!r}, N = {choice.n}); the policy is for another task."
                )
        rows = [self.candidates.index(choice.candidate) for choice in policy.choices]
        q = self.q_values(self.split.heldout, contexts)
        return float(q[np.arange(len(contexts)), rows, [choice.n - 1 for choice in policy.choices]].mean())

    def oracle(self) -> Oracle:
        """Return the best policy on the held-out queries: no policy can have a higher ACR."""
        return self._best_on(self.split.heldout)

    def limit(self) -> Oracle:
        """Return the policy that is best on the training queries: what an unlimited budget would find."""
        return self._best_on(self.split.train)

    def _best_on(self, queries: IntArray) -> Oracle:
        q = self.q_values(queries).reshape(len(self.contexts), -1)
        best = q.argmax(axis=1)
        policy = Policy.from_picks(
            default_grid(cast(Environment, self)),
            best // self.n_max,
            best % self.n_max + 1,
            task=self.name,
            strategy=self.strategy,
            objectives=self.objectives,
            is_simulated=self.is_simulated,
        )
        return Oracle(policy, self.acr(policy))


def default_grid(environment: Environment, *, n_max: int | None = None, contexts: Contexts | None = None) -> Grid:
    """Return the environment's arms, with fewer scales or other contexts where asked.

    Raises:
        TaskError: If n_max is not between 1 and the environment's.
    """
    scale = environment.n_max if n_max is None else n_max
    if not 1 <= scale <= environment.n_max:
        raise TaskError(f"N_max must be between 1 and {environment.n_max} for {environment.name!r}, not {scale}.")
    return Grid(environment.candidates, scale, contexts or environment.contexts)
