"""Theorem 1 of Mahmud et al., AAAI-26: how surely PSST picks the best arm in every context, and the budget that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor, inf, isfinite, log, log2

import numpy as np

from iapo_core.arms import FloatArray

_TRIVIAL = 0.99  # a failure probability from here on is no promise


@dataclass(frozen=True)
class Bound:
    """The bound for one set of true values.

    Attributes:
        h1: max over c, i of Nbar / gap^2; infinite where two arms tie exactly.
        h2: max over c, i of i Nbar / gap^2.
        n_rounds: R = ceil(log2 |A|).
        failure_probability: At most this, 1 where the bound says nothing.
        complexity: min(2 |P| H1, 8 |C| H2).
    """

    h1: float
    h2: float
    n_rounds: int
    failure_probability: float
    complexity: float
    n_contexts: int

    def budget_for(self, failure_probability: float) -> float:
        """Return the completions at which the bound guarantees this failure probability; infinite where arms tie."""
        return self.complexity * self.n_rounds * log(3 * self.n_contexts * self.n_rounds / failure_probability)

    def in_words(self, budget: int) -> str:
        """Say in one plain sentence what the theorem promises at this budget."""
        if self.failure_probability < _TRIVIAL:
            certainty = min(floor(1000 * (1 - self.failure_probability)) / 10, 99.9) if self.failure_probability else 100
            return f"Theorem 1 guarantees the best arm in every context with a probability of at least {certainty:g} %."
        wanted = self.budget_for(0.05)
        asks = f"it would ask for about {_in_words(wanted)}" if isfinite(wanted) else "it never can where two arms tie exactly"
        return (
            f"At {budget:,} completions Theorem 1 guarantees nothing for these gaps (its bound is trivial: a failure is not ruled "
            f"out at all): for 95 % certainty {asks}. How often the pick comes out again when the queries are resampled says more."
        )


def _in_words(n_completions: float) -> str:
    """Write a number of completions so that its size can be read."""
    if n_completions < 1e6:
        return f"{ceil(n_completions):,} completions"
    mantissa, exponent = f"{n_completions:.0e}".split("e")
    return f"{mantissa} x 10^{int(exponent)} completions"


def theorem1(q: FloatArray, budget: int) -> Bound:
    """Evaluate the bound `1 - 3 |C| R exp(-T / (min(2 |P| H1, 8 |C| H2) R))`; it assumes objectives in [-1, 1].

    Args:
        q: True values, nan for arms that do not take part, shape (C, P, N).
        budget: T in completions.
    """
    n_contexts, n_candidates, n_max = q.shape
    scales = np.broadcast_to(np.arange(1, n_max + 1), (n_candidates, n_max)).ravel()
    n_rounds = ceil(log2(n_candidates * n_max))
    h1 = h2 = 0.0
    for row in q.reshape(n_contexts, -1):
        order = np.argsort(-np.where(np.isnan(row), -np.inf, row), kind="stable")
        order = order[~np.isnan(row[order])]
        gaps = row[order[0]] - row[order[1:]]
        if not len(gaps):
            continue
        cost = (scales[order[0]] + n_max) / 2  # Nbar
        with np.errstate(divide="ignore"):
            h1 = max(h1, float((cost / gaps**2).max()))
            h2 = max(h2, float((np.arange(2, len(order) + 1) * cost / gaps**2).max()))
    complexity = min(2 * n_candidates * h1, 8 * n_contexts * h2)
    certain = complexity == 0 or n_rounds == 0
    exponent = -inf if certain else (0.0 if not isfinite(complexity) else -budget / (complexity * n_rounds))
    failure = min(3 * n_contexts * max(n_rounds, 1) * exp(exponent), 1.0) if not certain else 0.0
    return Bound(h1, h2, n_rounds, failure, complexity, n_contexts)
