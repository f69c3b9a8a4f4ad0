"""How much a pick hangs on the queries that happened to be drawn: a bootstrap over queries, for all contexts at once.

Theorem 1 says nothing at ordinary budgets; this always does. Completions of one query are no independent evidence, so whole queries
are resampled. Only arms that were seen on at least half as many queries as the pick take part: those that were dropped early were
judged on few, and the best of many noisy figures would win every resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iapo_core.arms import Arm, Contexts
from iapo_core.errors import ContextError, RunError
from iapo_core.evaluate import Verdict
from iapo_core.observations import Observations

_LIKE = 0.5  # of the queries behind the pick


@dataclass(frozen=True)
class Stability:
    """How often a context's pick comes out again.

    Attributes:
        context: Its name.
        pick: The arm.
        same_arm: Share of resamples that pick it, nan where the run never drew as many completions of one query as its N.
        same_candidate: Share of resamples that pick the same candidate, at any N.
        optimism: How much the estimate of what a resample picks exceeds the run's own estimate of it, on average: a measure of
            how much the run's estimate of its pick is too high for having been chosen.
    """

    context: str
    pick: Arm
    same_arm: float
    same_candidate: float
    optimism: float

    def in_words(self) -> str:
        """Say it in one sentence."""
        if np.isnan(self.same_arm):
            return f"In {self.same_candidate:.0%} of resamples of the queries the same prompt is picked."
        return (
            f"In {self.same_candidate:.0%} of resamples of the queries the same prompt is picked, "
            f"in {self.same_arm:.0%} with N = {self.pick.n}."
        )


def pick_stability(
    observations: Observations,
    contexts: Contexts,
    picks: Sequence[Arm],
    n_max: int | None = None,
    *,
    n_resamples: int = 200,
    seed: int = 0,
) -> tuple[Stability, ...]:
    """Resample the queries of a run and count how often each pick comes out again.

    Args:
        observations: What a run drew.
        contexts: The preferences.
        picks: The run's arm per context.
        n_max: The run's largest scale; the environment's by default.
        n_resamples: Bootstrap resamples, B.
        seed: Decides the resamples.

    Raises:
        ContextError: If there is not one pick per context.
        RunError: If nothing was drawn.
    """
    if len(picks) != len(contexts):
        raise ContextError(f"{len(picks)} picks were given for {len(contexts)} contexts; give one each.")
    if not observations.batches:
        raise RunError("Nothing was drawn yet, so there is nothing to resample; spend some completions first.")
    names, scale = observations.environment.candidates, n_max or observations.environment.n_max
    estimates = observations.estimates(contexts, scale)
    n_behind = estimates.n_queries()  # (P, N)
    rows = np.array([names.index(pick.candidate) for pick in picks])
    flat = rows * scale + np.array([pick.n - 1 for pick in picks])
    is_seen = n_behind.ravel()[flat] > 0  # a model may pick an N beyond what was drawn
    behind = np.where(is_seen, n_behind.ravel()[flat], n_behind[rows].max(axis=1))
    in_play = [np.flatnonzero(n_behind.ravel() >= max(_LIKE * n, 1)) for n in behind]
    own = [estimates.q_of(c).ravel()[arms] for c, arms in enumerate(in_play)]
    rivals = np.unique(np.concatenate(in_play) // scale)
    cost = (estimates.mean_costs[:, None] * np.arange(1, scale + 1)).ravel()
    same_arm, same_candidate, excess = np.zeros((3, len(picks)))
    for reward in estimates.resampled(rivals, n_resamples, np.random.default_rng([seed, 0xB007])):
        for c, arms in enumerate(in_play):
            local = np.searchsorted(rivals, arms // scale) * scale + arms % scale
            values = reward[:, contexts.which[c]].reshape(len(reward), -1)[:, local] - contexts.cost_weights[c] * cost[arms]
            values = np.where(np.isnan(values), -np.inf, values)
            best = values.argmax(axis=1)
            chosen, value, known = arms[best], values[np.arange(len(values)), best], own[c][best]
            same_arm[c] += (chosen == flat[c]).sum()
            same_candidate[c] += (chosen // scale == rows[c]).sum()
            excess[c] += np.where(np.isfinite(value), value - known, 0.0).sum()
    return tuple(
        Stability(
            contexts.ids[c],
            pick,
            float(same_arm[c]) / n_resamples if is_seen[c] else float("nan"),
            float(same_candidate[c]) / n_resamples,
            float(excess[c]) / n_resamples,
        )
        for c, pick in enumerate(picks)
    )


def wary(
    verdicts: Sequence[Verdict], observations: Observations, contexts: Contexts, n_max: int | None = None
) -> tuple[Verdict, ...]:
    """Move the lower ends down by the optimism where a pick is judged by the queries that chose it.

    A pick was chosen for being high, so an interval around its estimate holds the truth too rarely (the winner's curse); the upper
    end needs no room for that. A lead that is then no longer beyond chance is called close.

    Args:
        verdicts: One per context; those from queries kept aside stay as they are.
        observations: What the run drew.
        contexts: The preferences.
        n_max: The run's largest scale.
    """
    if all(verdict.source != "train" for verdict in verdicts):
        return tuple(verdicts)
    found = pick_stability(observations, contexts, [verdict.pick for verdict in verdicts], n_max)
    return tuple(
        _lowered(verdict, max(stability.optimism, 0.0)) if verdict.source == "train" else verdict
        for verdict, stability in zip(verdicts, found, strict=True)
    )


def _lowered(verdict: Verdict, by: float) -> Verdict:
    margin_low = verdict.margin_low - by
    word = "close" if verdict.verdict == "clear" and margin_low <= 0 else verdict.verdict
    return replace(verdict, low=verdict.low - by, margin_low=margin_low, verdict=word)


def stability_in_words(stabilities: Sequence[Stability]) -> str:
    """Say for all contexts together what stands beside a trivial bound."""
    prompts = _share([s.same_candidate for s in stabilities])
    arms = [s.same_arm for s in stabilities if not np.isnan(s.same_arm)]
    with_n = f", and with the same N in {_share(arms)}" if arms else ""
    where = "" if len(stabilities) == 1 else " (from context to context)"
    return f"When the queries are resampled, the same prompt is picked in {prompts} of cases{with_n}{where}."


def _share(values: Sequence[float]) -> str:
    low, high = f"{min(values):.0%}", f"{max(values):.0%}"
    return low if low == high else f"{low} to {high}"
