"""Utility of N completions: Best-of-N, majority vote and mixed, for every scale k <= n at once.

Mahmud et al., AAAI-26, problem definition. From n completions of one query every k-subset is a sample of scale k; averaging
over all of them (a U-statistic) is unbiased and of minimum variance, where disjoint blocks use only floor(n / k) of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from iapo_core.arms import FloatArray, IntArray
from iapo_core.errors import TaskError
from iapo_core.votes import count_states, vote_credit

Method = Literal["subsets", "blocks"]
_CHUNK = 4096  # pulls judged at once


@cache
def maximum_weights(n: int) -> FloatArray:
    """Return the order-statistic weights C(i-1, k-1) / C(n, k), row i-1, column k-1, shape (n, n).

    The sum over i of weight times the i-th smallest value is the mean of the maximum over all k-subsets.
    """
    weights = np.array([[comb(i - 1, k - 1) / comb(n, k) for k in range(1, n + 1)] for i in range(1, n + 1)])
    weights.setflags(write=False)
    return weights


def best_of_n(utilities: FloatArray) -> FloatArray:
    """Estimate the expected maximum of k completions for every k <= n.

    Args:
        utilities: Weighted task reward per completion, shape (..., n).

    Returns:
        Shape (..., n); column k-1 is the estimate for scale k.
    """
    ranked = np.sort(utilities, axis=-1)  # (..., n)
    return ranked @ maximum_weights(ranked.shape[-1])  # (..., n)


def block_maxima(utilities: FloatArray) -> FloatArray:
    """Estimate the expected maximum of k completions for every k <= n from disjoint blocks, in the order drawn; shapes as above."""
    drawn = np.ascontiguousarray(np.moveaxis(utilities, -1, 0))  # (n, ...), the long axes last, where numpy is fast
    result = np.empty(drawn.shape)
    n = len(drawn)
    for k in range(1, n + 1):
        result[k - 1] = drawn[: n // k * k].reshape(n // k, k, *drawn.shape[1:]).max(axis=1).mean(axis=0)
    return np.moveaxis(result, 0, -1)


def expected_maximum(values: FloatArray, probabilities: FloatArray, n_max: int) -> FloatArray:
    """Return E[max of k] for k = 1..n_max where the distribution is known.

    Args:
        values: Support points, shape (..., S).
        probabilities: Their probabilities, broadcast against `values`, shape (..., S).
        n_max: Largest scale.

    Returns:
        Shape (..., n_max): the sum over sorted values of u_i (F_i^k - F_{i-1}^k).
    """
    values, probabilities = np.broadcast_arrays(values, probabilities)
    order = np.argsort(values, axis=-1)
    ranked = np.take_along_axis(values, order, axis=-1)
    below = np.cumsum(np.take_along_axis(probabilities, order, axis=-1), axis=-1)
    below = below / below[..., -1:]
    gaps = np.diff(ranked, axis=-1)  # (..., S-1)
    result = np.empty((*values.shape[:-1], n_max))
    power = np.ones_like(below[..., :-1])
    for k in range(n_max):  # E[max] = u_S - sum_i (u_{i+1} - u_i) F_i^k
        power = power * below[..., :-1]
        result[..., k] = ranked[..., -1] - (gaps * power).sum(axis=-1)
    return result


def majority_vote(answers: IntArray, gold: IntArray, method: Method = "subsets") -> FloatArray:
    """Estimate the credit of a majority vote among k completions for every k <= n.

    The credit is 1/t if the gold answer is among the t answers with most votes, else 0; codes below 0 vote for nothing.

    Args:
        answers: Answer codes, shape (M, n).
        gold: Code of the right answer, shape (M,).
        method: "subsets" averages over all k-subsets, "blocks" over disjoint blocks in the order drawn.

    Returns:
        Shape (M, n); column k-1 is the estimate for scale k.
    """
    if method == "subsets":
        return vote_credit(*count_states(answers, gold), answers.shape[1])
    n_codes = int(max(answers.max(initial=0), gold.max(initial=0))) + 1
    return np.concatenate(
        [_block_credit(answers[i : i + _CHUNK], gold[i : i + _CHUNK], n_codes) for i in range(0, len(answers), _CHUNK)]
    )


def mixed(answers: IntArray, gold: IntArray, utilities: FloatArray, vote_weights: FloatArray) -> FloatArray:
    """Estimate voting for correctness, and the best style among the completions that carry the winning answer.

    Tied winners count alike; where no completion votes, the best of all of them is kept. Disjoint blocks: unbiased.

    Args:
        answers: Answer codes, shape (M, n).
        gold: Code of the right answer, shape (M,).
        utilities: Weighted sum of the objectives that are not voted on, shape (M, W, n).
        vote_weights: Weight of the voted objective, shape (W,).

    Returns:
        Shape (M, W, n).
    """
    reward = vote_weights[:, None] * majority_vote(answers, gold, "blocks")[:, None, :]  # (M, W, n)
    n_pulls, n_weights, _ = utilities.shape
    n_codes = int(answers.max(initial=0)) + 1
    running = _running_counts(answers, n_codes)
    for k in range(1, answers.shape[1] + 1):
        n_blocks = answers.shape[1] // k
        ends = running[:, : n_blocks * k + 1 : k]
        counts = ends[:, 1:] - ends[:, :-1]  # (M, B, S)
        blocks = answers[:, : n_blocks * k].reshape(n_pulls, n_blocks, k)
        winners = (counts == counts.max(axis=2, keepdims=True)) & (counts > 0)  # (M, B, S)
        styles = utilities[:, :, : n_blocks * k].reshape(n_pulls, n_weights, n_blocks, k)
        fallback = styles.max(axis=-1)  # (M, W, B)
        total = np.zeros_like(fallback)
        for code in range(winners.shape[2]):
            carried = np.where((blocks == code)[:, None], styles, -np.inf).max(axis=-1)
            total += np.where(winners[:, None, :, code], carried, 0.0)
        n_winners = winners.sum(axis=2)[:, None]
        best = np.where(n_winners > 0, total / np.maximum(n_winners, 1), fallback)
        reward[:, :, k - 1] += best.mean(axis=-1)
    return reward


def rewards(
    strategy: str,
    weights: FloatArray,
    objectives: FloatArray | None,
    answers: IntArray | None,
    gold: IntArray | None,
    method: Method = "subsets",
) -> FloatArray:
    """Estimate the reward before cost of every scale k <= n, for all weights, from pulls of equal size n.

    Args:
        strategy: "best_of_n", "majority_vote" or "mixed"; voting is on the first objective.
        weights: Objective weights, shape (W, K).
        objectives: Scores, shape (M, n, K); not needed for majority vote.
        answers: Answer codes, shape (M, n); not needed for Best-of-N.
        gold: Right answers, shape (M,).
        method: How subsets of a pull are used.

    Returns:
        Shape (M, W, n).
    """
    if strategy == "majority_vote":
        return weights[:, :1] * majority_vote(_given(answers), _given(gold), method)[:, None, :]
    objectives = _given(objectives)
    if strategy == "mixed":
        return mixed(_given(answers), _given(gold), np.einsum("mnk,wk->mwn", objectives[..., 1:], weights[:, 1:]), weights[:, 0])
    utilities = np.einsum("mnk,wk->mwn", objectives, weights)  # (M, W, n)
    return best_of_n(utilities) if method == "subsets" else block_maxima(utilities)


def select_completion(
    strategy: str, weights: Sequence[float], votes: Sequence[str | None] | None, scores: Sequence[Sequence[float]] | None
) -> int:
    """Return the index of the completion to deliver; ties go to the first.

    Args:
        strategy: How completions are aggregated.
        weights: One weight per objective.
        votes: The extracted answer of each completion; None for Best-of-N.
        scores: Scores per completion and objective; None for majority vote.
    """
    if votes is None:
        return int(np.argmax(_given(scores) @ np.asarray(weights)))
    cast = [vote for vote in votes if vote is not None]
    carriers = list(range(len(votes)))
    if cast:
        winner = max(dict.fromkeys(cast), key=cast.count)
        carriers = [i for i, vote in enumerate(votes) if vote == winner]
    if scores is None or strategy == "majority_vote":
        return carriers[0]
    style = np.asarray(scores)[:, 1:] @ np.asarray(weights[1:])
    return carriers[int(np.argmax(style[carriers]))]


def _given(values: ArrayLike | None) -> Any:
    """Return the values that the strategy needs.

    Raises:
        TaskError: If the environment left them out.
    """
    if values is None:
        raise TaskError("The environment returned no answers to vote on, or no objectives to score, as the strategy needs.")
    return np.asarray(values)


def _running_counts(answers: IntArray, n_codes: int) -> IntArray:
    """Return the votes per answer among the first i completions, shape (M, n + 1, S)."""
    running = np.zeros((answers.shape[0], answers.shape[1] + 1, n_codes), dtype=np.int16)
    np.cumsum(answers[..., None] == np.arange(n_codes), axis=1, out=running[:, 1:])
    return running


@cache
def _all_blocks(n: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return start and size of every disjoint block of every k <= n, k by k, and where each k begins."""
    starts = np.concatenate([np.arange(n // k) * k for k in range(1, n + 1)])
    sizes = np.repeat(np.arange(1, n + 1), [n // k for k in range(1, n + 1)])
    return starts, sizes, np.flatnonzero(np.r_[True, np.diff(sizes) > 0])


def _block_credit(answers: IntArray, gold: IntArray, n_codes: int) -> FloatArray:
    """Return the mean credit over the disjoint blocks of every k, all in one pass, shape (M, n)."""
    n = answers.shape[1]
    starts, sizes, firsts = _all_blocks(n)
    running = np.zeros((n_codes, len(answers), n + 1), dtype=np.int16)  # the long axes last, where numpy is fast
    np.cumsum(answers == np.arange(n_codes)[:, None, None], axis=2, out=running[:, :, 1:])
    counts = running.take(starts + sizes, axis=2)  # (S, M, blocks)
    counts -= running.take(starts, axis=2)
    top = counts.max(axis=0)
    ties = (counts == top).sum(axis=0, dtype=np.int16)
    votes = counts[np.maximum(gold, 0), np.arange(len(answers))]
    right = (votes == top) & (top > 0) & (gold >= 0)[:, None]
    credit: FloatArray = np.add.reduceat(right / ties, firsts, axis=1) / (n // np.arange(1, n + 1))
    return credit
