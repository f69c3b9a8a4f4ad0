"""What a run's completions say for other weights: the same trimming, replayed on what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np

from iapo_core.arms import Arm, Contexts, IntArray
from iapo_core.errors import RunError
from iapo_core.estimates import Estimates
from iapo_core.observations import Observations


class Contenders(NamedTuple):
    """The arm for a context, and the arm of another candidate that held out longest against it."""

    pick: Arm
    runner_up: Arm | None


def rank(observations: Observations, contexts: Contexts, n_max: int | None = None) -> IntArray:
    """Order all arms per context: those that would have survived longer first, then by their last estimate.

    The highest estimate of all would be a poor pick: arms that were dropped early have few samples, and the best of many noisy
    figures is too high. Trimming compares arms only while they are sampled alike.

    Args:
        observations: What a run drew, one batch per round.
        contexts: Any preferences.
        n_max: The run's largest scale; the environment's by default.

    Returns:
        Flat arm indices, best first, shape (C, A).

    Raises:
        RunError: If nothing was drawn.
    """
    if not observations.batches:
        raise RunError("Nothing was drawn yet, so there is nothing to weigh; spend some completions first.")
    environment = observations.environment
    scale = n_max or environment.n_max
    estimates = Estimates(len(environment.candidates), scale, contexts, environment.strategy)
    n_contexts, n_arms = len(contexts), len(environment.candidates) * scale
    rows = np.arange(n_contexts)[:, None]
    survivors = np.tile(np.arange(n_arms), (n_contexts, 1))  # (C, S)
    survived = np.zeros((n_contexts, n_arms), dtype=int)
    last = np.full((n_contexts, n_arms), -np.inf)
    for pulls, outcomes in observations.batches:
        estimates.add(pulls, outcomes)
        q = estimates.q().reshape(n_contexts, n_arms)
        values = np.take_along_axis(np.where(np.isnan(q), -np.inf, q), survivors, axis=1)  # (C, S)
        last[rows, survivors] = values
        best = np.argsort(-values, axis=1, kind="stable")[:, : ceil(survivors.shape[1] / 2)]
        survivors = np.take_along_axis(survivors, best, axis=1)
        survived[rows, survivors] += 1
    return np.lexsort((-last, -survived), axis=-1)


def contenders(
    observations: Observations, contexts: Contexts, n_max: int | None = None, picks: Sequence[Arm] | None = None
) -> tuple[Contenders, ...]:
    """Return pick and runner-up per context; give the run's own picks where they are known.

    Raises:
        RunError: If nothing was drawn.
    """
    scale = n_max or observations.environment.n_max
    names = observations.environment.candidates
    found = []
    for c, order in enumerate(rank(observations, contexts, n_max)):
        arms = (Arm(names[int(a) // scale], int(a) % scale + 1) for a in order)
        pick = picks[c] if picks is not None else next(arms)
        found.append(Contenders(pick, next((arm for arm in arms if arm.candidate != pick.candidate), None)))
    return tuple(found)
