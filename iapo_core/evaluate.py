"""What can be said of the arms: scores of a run or of held-out queries, with intervals, and a verdict per context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np

from iapo_core.arms import Arm, BoolArray, Contexts, FloatArray, IntArray
from iapo_core.environment import Environment, Outcomes, Pulls
from iapo_core.errors import ContextError, RunError
from iapo_core.estimates import Estimates, t_quantile
from iapo_core.optimize import start

FEWEST_QUERIES = 8


@dataclass(frozen=True, eq=False)
class Scores:
    """Every arm in every context.

    Attributes:
        contexts: The preferences, C of them.
        candidates: P names.
        q: Expected utility, nan where unsampled, shape (C, P, N).
        half_width: Half of the 95 % interval of q, clustered by query, nan below two queries, shape (C, P, N).
        n_queries: Queries behind each arm, shape (P, N).
        reward: Utility before cost per distinct weights, shape (W, P, N).
        objective_means: What each objective alone reaches when N completions are aggregated for it, shape (K, P, N).
        mean_costs: Cost of one completion, shape (P,).
        source: "train" for what a run drew, "heldout" for queries that no run saw.
        bounds: Lowest and highest reward that the objectives' ranges allow, shape (W, 2).
        is_exact: True where the distributions are known, so that the only uncertainty is the choice of queries.
    """

    contexts: Contexts
    candidates: tuple[str, ...]
    q: FloatArray
    half_width: FloatArray
    n_queries: IntArray
    reward: FloatArray
    objective_means: FloatArray
    mean_costs: FloatArray
    source: Literal["train", "heldout"]
    bounds: FloatArray
    is_exact: bool
    _cells: FloatArray | None = None  # (C, P, X', N) where pairs of arms can be compared query by query

    @property
    def is_known(self) -> BoolArray:
        """Arms seen on enough queries to be ranked beside others, shape (P, N).

        A mean over one or two queries is often 0 or 1 and would lead every chart; where all arms are young, the oldest count.
        """
        return np.asarray(self.n_queries >= min(FEWEST_QUERIES, int(self.n_queries.max(initial=1))))


@dataclass(frozen=True, eq=False)
class Observations:
    """Everything that a run drew, so that any weights can be scored without a new call."""

    environment: Environment
    batches: tuple[tuple[Pulls, Outcomes], ...]

    def estimates(self, contexts: Contexts, n_max: int | None = None) -> Estimates:
        """Score the drawn completions for these contexts."""
        scale = n_max or self.environment.n_max
        estimates = Estimates(len(self.environment.candidates), scale, contexts, self.environment.strategy)
        for pulls, outcomes in self.batches:
            estimates.add(pulls, outcomes)
        return estimates


class _Witness:
    """An environment that keeps what passes through it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.seen: list[tuple[Pulls, Outcomes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def for_run(self, seed: int) -> _Witness:
        self._environment = self._environment.for_run(seed)
        return self

    def pull(self, pulls: Pulls) -> Outcomes:
        outcomes = self._environment.pull(pulls)
        self.seen.append((pulls, outcomes))
        return outcomes


def observe(environment: Environment, *, n_events: int | None = None, **arguments: Any) -> Observations:
    """Replay a run, or its first `n_events` events, and return what it drew.

    A run is a pure function of its arguments, so a replay against stored completions buys nothing.

    Args:
        environment: The run's environment.
        n_events: Where a run was stopped.
        **arguments: What `start` takes.

    Raises:
        IapoError: As `start` does.
    """
    witness = _Witness(environment)
    for _ in islice(start(witness, **arguments), n_events):
        pass
    return Observations(environment, tuple(witness.seen))


def score_run(observations: Observations, contexts: Contexts, n_max: int | None = None) -> Scores:
    """Score what a run drew. Training estimates: the winner's is too high, because it was chosen for being high."""
    estimates = observations.estimates(contexts, n_max)
    environment = observations.environment
    return Scores(
        contexts=contexts,
        candidates=environment.candidates,
        q=estimates.q(),
        half_width=np.stack([estimates.half_width(c) for c in range(len(contexts))]),
        n_queries=estimates.n_queries(),
        reward=estimates.reward,
        objective_means=_ordered(observations.estimates(_single_objectives(environment.objectives), n_max).reward),
        mean_costs=estimates.mean_costs,
        source="train",
        bounds=contexts.distinct @ environment.objective_ranges,
        is_exact=False,
    )


def score_queries(environment: Environment, queries: IntArray, contexts: Contexts, n_max: int | None = None) -> Scores:
    """Score every arm on the given queries, from the known distribution or from every stored completion.

    Args:
        environment: Where the completions are.
        queries: Rows of queries, (X',).
        contexts: The preferences.
        n_max: Largest scale; the environment's by default.
    """
    scale = n_max or environment.n_max
    curves = environment.reward_curves(queries, contexts.distinct)[..., :scale]  # (W, P, X', N)
    cost = environment.mean_costs()[:, None] * np.arange(1, scale + 1)  # (P, N)
    cells = curves[contexts.which] - (contexts.cost_weights[:, None, None] * cost)[:, :, None]  # (C, P, X', N)
    n = len(queries)
    return Scores(
        contexts=contexts,
        candidates=environment.candidates,
        q=cells.mean(axis=2),
        half_width=_half_width(cells, axis=2),
        n_queries=np.full((len(environment.candidates), scale), n),
        reward=curves.mean(axis=2),
        objective_means=_ordered(
            environment.reward_curves(queries, _single_objectives(environment.objectives).distinct)[..., :scale].mean(axis=2)
        ),
        mean_costs=environment.mean_costs(),
        source="heldout",
        bounds=contexts.distinct @ environment.objective_ranges,
        is_exact=not hasattr(environment, "texts"),
        _cells=cells,
    )


@dataclass(frozen=True)
class Verdict:
    """The pick of one context beside its best rival of another candidate.

    `verdict` is "clear" where the 95 % interval of the margin lies above 0, "tie" where the margin is at most a tenth of its
    half-width or negative, else "close". `margin_low` and `margin_high` are nan where there is nothing to compare by.
    """

    context: str
    pick: Arm
    value: float
    low: float
    high: float
    n_queries: int
    cost_per_query: float
    runner_up: Arm | None
    margin: float
    margin_low: float
    margin_high: float
    verdict: Literal["clear", "close", "tie"]


def judge(scores: Scores, picks: Sequence[Arm] | None = None, rivals: Sequence[Arm | None] | None = None) -> tuple[Verdict, ...]:
    """Judge each context's pick (the best arm where none is given) against its runner-up.

    Args:
        scores: Where the judgement comes from.
        picks: One arm per context.
        rivals: One arm of another candidate per context, or None; the best one of `scores` where left out. Name the run's own
            runner-up when judging on held-out queries: their best arm was chosen there for being high.

    Raises:
        ContextError: If there is not one pick, or one rival, per context.
        RunError: If nothing was sampled.
    """
    if picks is not None and len(picks) != len(scores.contexts):
        raise ContextError(f"{len(picks)} picks were given for {len(scores.contexts)} contexts; give one each.")
    if rivals is not None and len(rivals) != len(scores.contexts):
        raise ContextError(f"{len(rivals)} rivals were given for {len(scores.contexts)} contexts; give one each.")
    return tuple(
        _judge_context(scores, c, None if picks is None else picks[c], None if rivals is None else rivals[c])
        for c in range(len(scores.contexts))
    )


def _judge_context(scores: Scores, c: int, pick: Arm | None, rival: Arm | None) -> Verdict:
    q = scores.q[c]
    if np.isnan(q).all():
        raise RunError("Nothing was sampled yet, so there is nothing to judge; spend some completions first.")
    if pick is None:
        p, k = divmod(int(np.nanargmax(q)), q.shape[1])
    else:
        p, k = scores.candidates.index(pick.candidate), pick.n - 1
    rivals = np.where(np.isnan(q), -np.inf, q)
    rivals[p] = -np.inf
    if rival is not None:
        row, column = scores.candidates.index(rival.candidate), rival.n - 1
        rivals = np.where(np.arange(rivals.size).reshape(rivals.shape) == row * rivals.shape[1] + column, rivals, -np.inf)
    value, half = float(q[p, k]), float(scores.half_width[c, p, k])
    cost = float(scores.mean_costs[p] * (k + 1))
    lowest, highest = scores.bounds[scores.contexts.which[c]] - scores.contexts.cost_weights[c] * cost
    runner, margin, margin_half = None, float("nan"), float("nan")
    if np.isfinite(rivals).any():
        rp, rk = divmod(int(np.argmax(rivals)), q.shape[1])
        runner = Arm(scores.candidates[rp], int(rk) + 1)
        margin = value - float(q[rp, rk])
        if scores._cells is not None:
            margin_half = float(_half_width(scores._cells[c, p, :, k] - scores._cells[c, rp, :, rk], axis=0))
        else:  # different queries on both sides: independent errors
            margin_half = float(np.hypot(half, scores.half_width[c, rp, rk]))
    return Verdict(
        context=scores.contexts.ids[c],
        pick=Arm(scores.candidates[int(p)], int(k) + 1),
        value=value,
        low=max(value - half, lowest),
        high=min(value + half, highest),
        n_queries=int(scores.n_queries[p, k]),
        cost_per_query=cost,
        runner_up=runner,
        margin=margin,
        margin_low=margin - margin_half,
        margin_high=margin + margin_half,
        verdict=_in_a_word(margin, margin_half, has_rival=runner is not None),
    )


def _in_a_word(margin: float, half: float, *, has_rival: bool) -> Literal["clear", "close", "tie"]:
    if not has_rival:
        return "clear"
    if np.isnan(margin) or np.isnan(half) or margin <= 0.1 * half:
        return "tie"
    return "clear" if margin > half else "close"


def _half_width(values: FloatArray, axis: int) -> FloatArray:
    """Half of the 95 % t interval of the mean over queries."""
    n = values.shape[axis]
    if n < 2:
        return np.full_like(values.mean(axis=axis), np.nan)
    half: FloatArray = t_quantile(np.asarray(n - 1.0)) * values.std(axis=axis, ddof=1) / np.sqrt(n)
    return half


def _single_objectives(objectives: tuple[str, ...]) -> Contexts:
    return Contexts(objectives, np.eye(len(objectives)), np.zeros(len(objectives)))


def _ordered(reward: FloatArray) -> FloatArray:
    """Undo the sorting of distinct unit weights: they come in reverse order of the objectives."""
    return reward[::-1]
