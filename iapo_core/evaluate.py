"""What can be said of the arms: scores of a run or of held-out queries, with intervals, and a verdict per context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from iapo_core import intervals
from iapo_core.arms import Arm, BoolArray, Contexts, FloatArray, IntArray
from iapo_core.environment import Environment
from iapo_core.errors import ContextError, RunError
from iapo_core.intervals import Ends, mean_of_drawn
from iapo_core.observations import Observations

FEWEST_QUERIES = 8


@dataclass(frozen=True, eq=False)
class Scores:
    """Every arm in every context.

    Attributes:
        contexts: The preferences, C of them.
        candidates: P names.
        q: Expected utility, nan where unsampled, shape (C, P, N).
        half_width: From q to the farther end of its 95 % interval, clustered by query, nan below two queries, shape (C, P, N).
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
    """Score every arm on the given queries, from the known distribution or from every completion at hand; nan without any.

    Args:
        environment: Where the completions are.
        queries: Rows of queries, (X',).
        contexts: The preferences.
        n_max: Largest scale; the environment's by default.
    """
    scale = n_max or environment.n_max
    curves = environment.reward_curves(queries, contexts.distinct)[..., :scale]  # (W, P, X', N)
    paid = contexts.cost_weights[:, None, None] * environment.mean_costs()[:, None] * np.arange(1, scale + 1)  # (C, P, N)
    cells = curves[contexts.which] - paid[:, :, None]  # (C, P, X', N)
    bounds = contexts.distinct @ environment.objective_ranges  # (W, 2)
    low, high = np.moveaxis(bounds[contexts.which], 1, 0)[..., None, None] - paid  # (C, P, N) each
    alone = _single_objectives(environment.objectives).distinct
    q = mean_of_drawn(cells, axis=2)
    return Scores(
        contexts=contexts,
        candidates=environment.candidates,
        q=q,
        half_width=intervals.half_width(q, intervals.of_means(np.moveaxis(cells, 2, -1), low, high)),
        n_queries=(~np.isnan(curves[0])).sum(axis=1),
        reward=mean_of_drawn(curves, axis=2),
        objective_means=_ordered(mean_of_drawn(environment.reward_curves(queries, alone)[..., :scale], axis=2)),
        mean_costs=environment.mean_costs(),
        source="heldout",
        bounds=bounds,
        is_exact=not hasattr(environment, "texts"),
        _cells=cells,
    )


@dataclass(frozen=True)
class Verdict:
    """The pick of one context beside its best rival of another candidate.

    `verdict` is "clear" where the 95 % interval of the margin lies above 0, "tie" where the margin is at most a tenth of its
    distance to the interval's lower end or negative, "unknown" where there is no margin, because an arm was not drawn or there is
    no rival, else "close". `margin_low` and `margin_high` are nan where there is nothing to compare by. The sources say on which
    queries pick and margin were estimated.
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
    verdict: Literal["clear", "close", "tie", "unknown"]
    source: Literal["train", "heldout"] = "heldout"
    margin_source: Literal["train", "heldout"] = "heldout"

    def completed(self, drawn: Verdict) -> Verdict:
        """Return this verdict with what it lacks from another one, of the same pick, on what the run drew."""
        if np.isnan(self.value):
            return drawn
        if self.runner_up is not None or drawn.runner_up is None:
            return self
        of_rival = ("runner_up", "margin", "margin_low", "margin_high", "verdict", "margin_source")
        return replace(self, **{name: getattr(drawn, name) for name in of_rival})


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
    cost = float(scores.mean_costs[p] * (k + 1))
    value, ends = float(q[p, k]), _ends(scores, c, p, k)
    runner, margin, gap = None, float("nan"), Ends(np.asarray(np.nan), np.asarray(np.nan))
    if np.isfinite(rivals).any():
        rp, rk = divmod(int(np.argmax(rivals)), q.shape[1])
        runner = Arm(scores.candidates[rp], int(rk) + 1)
        margin = value - float(q[rp, rk])
        gap = _gap(scores, c, (p, k), (rp, rk))
    return Verdict(
        context=scores.contexts.ids[c],
        pick=Arm(scores.candidates[int(p)], int(k) + 1),
        value=value,
        low=float(ends.low),
        high=float(ends.high),
        n_queries=int(scores.n_queries[p, k]),
        cost_per_query=cost,
        runner_up=runner,
        margin=margin,
        margin_low=float(gap.low),
        margin_high=float(gap.high),
        verdict=_in_a_word(margin, gap),
        source=scores.source,
        margin_source=scores.source,
    )


def _ends(scores: Scores, c: int, p: int, k: int) -> Ends:
    """Return the interval of one arm's Q."""
    paid = scores.contexts.cost_weights[c] * scores.mean_costs[p] * (k + 1)
    low, high = scores.bounds[scores.contexts.which[c]] - paid
    if scores._cells is not None:
        return intervals.of_means(scores._cells[c, p, :, k], low, high)
    value, half = scores.q[c, p, k], scores.half_width[c, p, k]
    return Ends(np.maximum(value - half, low), np.minimum(value + half, high))


def _gap(scores: Scores, c: int, pick: tuple[int, int], rival: tuple[int, int]) -> Ends:
    """Return the interval of the difference of two arms' Q.

    Query by query where both saw the same ones. Else their errors are independent, and each end of the difference lies as far
    out as the two ends that make it (Zou and Donner, 2008).
    """
    if scores._cells is not None:
        lowest, highest = scores.bounds[scores.contexts.which[c]]
        paid = scores.contexts.cost_weights[c] * (
            scores.mean_costs[pick[0]] * (pick[1] + 1) - scores.mean_costs[rival[0]] * (rival[1] + 1)
        )
        before_cost = scores._cells[c, pick[0], :, pick[1]] - scores._cells[c, rival[0], :, rival[1]] + paid
        gap = intervals.of_differences(before_cost, highest - lowest)
        return Ends(gap.low - paid, gap.high - paid)
    one, other = scores.q[c][pick], scores.q[c][rival]
    mine, theirs = _ends(scores, c, *pick), _ends(scores, c, *rival)
    return Ends(
        one - other - np.hypot(one - mine.low, theirs.high - other), one - other + np.hypot(mine.high - one, other - theirs.low)
    )


def _in_a_word(margin: float, gap: Ends) -> Literal["clear", "close", "tie", "unknown"]:
    if np.isnan(margin):
        return "unknown"
    if np.isnan(gap.low) or margin <= 0.1 * (margin - float(gap.low)):
        return "tie"
    return "clear" if gap.low > 0 else "close"


def _single_objectives(objectives: tuple[str, ...]) -> Contexts:
    return Contexts(objectives, np.eye(len(objectives)), np.zeros(len(objectives)))


def _ordered(reward: FloatArray) -> FloatArray:
    """Undo the sorting of distinct unit weights: they come in reverse order of the objectives."""
    return reward[::-1]
