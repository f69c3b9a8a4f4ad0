"""Count tables: environments whose answer or outcome distribution is known, so that Q is exact.

A pull is a draw from the categorical distribution of its (candidate, query), as in Mahmud et al., AAAI-26, evaluation.
"""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np

from iapo_core.arms import Contexts, FloatArray, IntArray
from iapo_core.environment import Evaluated, Outcomes, Pulls, Split, split_order, split_queries
from iapo_core.errors import TableError
from iapo_core.task import MAX_SCALE, Strategy
from iapo_core.utility import expected_maximum
from iapo_core.votes import known_credit

MAX_TABLE_BYTES = 512 * 1024 * 1024


class TableEnvironment(Evaluated):
    """Categorical answers (majority vote) or outcome vectors (Best-of-N) per candidate and query.

    Args:
        name: Shown to people.
        probabilities: Distribution over S answers or outcomes, shape (P, X, S).
        cost_per_completion: Shape (P,).
        contexts: The preferences to serve.
        n_max: Largest scale.
        split: Training and held-out queries.
        gold: Code of the right answer per query, for majority vote, shape (X,).
        outcomes: Objective vectors, for Best-of-N, shape (P, X, S, K).
        candidates: Names; numbered where left out.
        is_simulated: False where the table was counted from a real model's answers.
    """

    task = None

    def __init__(
        self,
        name: str,
        probabilities: FloatArray,
        cost_per_completion: FloatArray,
        contexts: Contexts,
        n_max: int,
        split: Split,
        *,
        gold: IntArray | None = None,
        outcomes: FloatArray | None = None,
        candidates: tuple[str, ...] = (),
        objectives: tuple[str, ...] = (),
        is_simulated: bool = False,
    ) -> None:
        n_candidates = len(probabilities)
        self.name = name
        self.strategy: Strategy = "majority_vote" if outcomes is None else "best_of_n"
        self.is_simulated = is_simulated
        self.contexts = contexts
        self.n_max = n_max
        self.split = split
        self.candidates = candidates or tuple(f"prompt-{p + 1:02d}" for p in range(n_candidates))
        n_objectives = 1 if outcomes is None else outcomes.shape[-1]
        self.objectives = objectives or (
            ("correct",) if outcomes is None else tuple(f"objective-{k + 1}" for k in range(n_objectives))
        )
        if contexts.weights.shape[1] != n_objectives:
            raise TableError(f"{name}: contexts weigh {contexts.weights.shape[1]} objectives, the table has {n_objectives}.")
        self.objective_ranges = (
            np.array([[0.0, 1.0]])
            if outcomes is None
            else np.stack([outcomes.min(axis=(0, 1, 2)), outcomes.max(axis=(0, 1, 2))], axis=1)
        )
        self._probabilities = probabilities
        self._cumulative = np.cumsum(probabilities, axis=-1)
        self._cumulative /= self._cumulative[..., -1:]
        self._cost = cost_per_completion
        self._gold = np.empty(0, dtype=np.int16) if gold is None else gold
        self._outcomes = outcomes
        self._credit: dict[int, FloatArray] = {}  # query -> exact credit (P, N), filled when asked for
        self._rng = np.random.default_rng(0)

    def for_run(self, seed: int) -> Self:
        """Return this table at the start of a stream of draws: equal seeds give equal draws."""
        other = copy.copy(self)
        other._rng = np.random.default_rng([seed, 0xD2A35])
        return other

    def sampled(self, n_queries: int, rng: np.random.Generator) -> Self:
        """Return a task of this many queries drawn with replacement, as if this table held the population; its mean is the truth.

        Args:
            n_queries: At least 2, split as ever.
            rng: Chooses the queries and the split.
        """
        rows = rng.integers(self.n_queries, size=n_queries)
        other = copy.copy(self)
        other._probabilities, other._cumulative = self._probabilities[:, rows], self._cumulative[:, rows]
        other._gold = self._gold[rows] if len(self._gold) else self._gold
        other._outcomes = None if self._outcomes is None else self._outcomes[:, rows]
        other._credit = {i: self._credit[int(q)] for i, q in enumerate(rows) if int(q) in self._credit}
        other.split = split_order(rng.permutation(n_queries))
        return other

    @property
    def n_queries(self) -> int:
        """X."""
        return int(self._probabilities.shape[1])

    def pull(self, pulls: Pulls) -> Outcomes:
        """Draw the batch; every completion is an independent draw."""
        n = int(pulls.sizes.max(initial=0))
        cumulative = self._cumulative[pulls.candidates, pulls.queries]  # (M, S)
        uniform = self._rng.random((len(pulls.sizes), n))
        drawn = np.zeros(uniform.shape, dtype=np.int16)
        for s in range(cumulative.shape[1] - 1):
            drawn += uniform > cumulative[:, s : s + 1]
        costs = np.broadcast_to(self._cost[pulls.candidates][:, None], drawn.shape)
        if self._outcomes is not None:
            rows = (pulls.candidates[:, None], pulls.queries[:, None], drawn)
            return Outcomes(costs=costs, objectives=self._outcomes[rows])
        return Outcomes(costs=costs, answers=drawn, gold=self._gold[pulls.queries])

    def reward_curves(self, queries: IntArray, weights: FloatArray) -> FloatArray:
        """Return the exact reward before cost, shape (W, P, X', N)."""
        if self._outcomes is None:
            return weights[:, 0, None, None, None] * self._credits(queries)
        outcomes, probabilities = self._outcomes[:, queries], self._probabilities[:, queries]
        return np.stack([expected_maximum(outcomes @ w, probabilities, self.n_max) for w in weights])

    def mean_costs(self) -> FloatArray:
        """Return the cost of one completion per candidate, shape (P,)."""
        return self._cost

    def _credits(self, queries: IntArray) -> FloatArray:
        missing = [int(q) for q in queries if int(q) not in self._credit]
        if missing:
            probabilities: Any = self._probabilities[:, missing].copy()  # (P, X', S)
            right = self._gold[missing].astype(int)[None, :, None]
            gold = np.take_along_axis(probabilities, np.broadcast_to(right, (*probabilities.shape[:2], 1)), axis=2)[..., 0]
            np.put_along_axis(probabilities, np.broadcast_to(right, (*probabilities.shape[:2], 1)), 0.0, axis=2)
            n_candidates, n_missing, n_answers = probabilities.shape
            curves = known_credit(gold.ravel(), probabilities.reshape(-1, n_answers), self.n_max)
            credit = curves.reshape(n_candidates, n_missing, self.n_max)
            self._credit.update({q: credit[:, i] for i, q in enumerate(missing)})
        return np.stack([self._credit[int(q)] for q in queries], axis=1)


def load_table(path: Path, *, seed: int) -> TableEnvironment:
    """Read a count table from `.npz`: no pickles, everything checked.

    Keys for majority vote: counts (P, X, S), answers (X,), cost_per_prompt (P,), cost_weights (C,), n_max ().
    For Best-of-N instead of answers: outcomes (P, X, S, K) and weights (C, K). Optional: heldout (X,) of booleans, which
    replaces the split by seed, and is_simulated ().

    Raises:
        TableError: With what is wrong, where, and what to do.
    """
    data = _read(path)
    counts = _floats(path, data, "counts", 3)
    n_candidates, n_queries, n_answers = counts.shape
    if not all(counts.shape):
        raise TableError(f"{path}: counts has shape {counts.shape}; it needs at least one prompt, query and answer.")
    if (counts < 0).any():
        raise TableError(f"{path}: counts{_where(counts < 0)} is negative; counts are at least 0.")
    totals = counts.sum(axis=2)
    if (totals <= 0).any():
        raise TableError(
            f"{path}: counts{_where(totals <= 0)} sums to 0, so there is nothing to draw; remove the query or fill it."
        )
    cost = _floats(path, data, "cost_per_prompt", 1, (n_candidates,))
    if (cost < 0).any():
        raise TableError(f"{path}: cost_per_prompt{_where(cost < 0)} is negative; costs are at least 0.")
    cost_weights = _floats(path, data, "cost_weights", 1)
    n_max = _scale(path, data)
    gold = outcomes = None
    if "answers" in data:
        gold = _codes(path, data, n_queries, n_answers)
        weights: FloatArray = np.ones((len(cost_weights), 1))
    elif "outcomes" in data:
        outcomes = _floats(path, data, "outcomes", 4)
        if outcomes.shape[:3] != counts.shape:
            raise TableError(
                f"{path}: outcomes has shape {outcomes.shape}, but counts {counts.shape}; the first three must agree."
            )
        weights = _floats(path, data, "weights", 2, (len(cost_weights), outcomes.shape[3]))
    else:
        raise TableError(
            f"{path}: there is neither answers (majority vote) nor outcomes (Best-of-N); it has {', '.join(sorted(data))}."
        )
    ids = tuple(f"context-{c + 1}" for c in range(len(cost_weights)))
    if gold is not None and len(set(cost_weights.tolist())) == len(cost_weights):
        ids = tuple(f"cost weight {w:g}" for w in cost_weights)
    environment = TableEnvironment(
        path.stem,
        counts / totals[..., None],
        cost,
        Contexts(ids, weights, cost_weights),
        n_max,
        _split(path, data, n_queries, seed),
        gold=gold,
        outcomes=outcomes,
        is_simulated=bool(data.get("is_simulated", False)),
    )
    environment.has_fixed_split = "heldout" in data
    return environment


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_TABLE_BYTES:
            raise TableError(f"{path}: unpacks to {size:,} bytes, more than the {MAX_TABLE_BYTES:,} allowed; split the table.")
        with np.load(path, allow_pickle=False) as archive_data:
            return {name: archive_data[name] for name in archive_data.files}
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror or error}); give a .npz file.") from error
    except (ValueError, zipfile.BadZipFile, KeyError, EOFError, MemoryError, NotImplementedError) as error:
        raise TableError(f"{path}: is not a .npz of plain arrays ({error}); write it with numpy.savez_compressed.") from error


def _floats(path: Path, data: dict[str, np.ndarray], key: str, ndim: int, shape: tuple[int, ...] | None = None) -> FloatArray:
    if key not in data:
        raise TableError(f"{path}: the array {key!r} is missing; it has {', '.join(sorted(data)) or 'nothing'}.")
    array = data[key]
    if array.ndim != ndim or (shape is not None and array.shape != shape) or array.dtype.kind not in "iufb":
        wanted = f"shape {shape}" if shape is not None else f"{ndim} dimensions"
        raise TableError(f"{path}: {key} must hold numbers with {wanted}, not {array.dtype} of shape {array.shape}.")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise TableError(f"{path}: {key}{_where(~np.isfinite(array))} is not a finite number; replace it.")
    return array


def _codes(path: Path, data: dict[str, np.ndarray], n_queries: int, n_answers: int) -> IntArray:
    answers = _floats(path, data, "answers", 1, (n_queries,))
    bad = (answers != np.floor(answers)) | (answers < 0) | (answers >= n_answers)
    if bad.any():
        raise TableError(
            f"{path}: answers{_where(bad)} is {answers[bad][0]:g}; right answers are codes from 0 to {n_answers - 1}."
        )
    return answers.astype(np.int16)


def _scale(path: Path, data: dict[str, np.ndarray]) -> int:
    n_max = float(_floats(path, data, "n_max", 0))
    if n_max != int(n_max) or not 1 <= n_max <= MAX_SCALE:
        raise TableError(f"{path}: n_max is {n_max:g}; it is a whole number from 1 to {MAX_SCALE}.")
    return int(n_max)


def _split(path: Path, data: dict[str, np.ndarray], n_queries: int, seed: int) -> Split:
    if "heldout" not in data:
        if n_queries < 2:
            raise TableError(f"{path}: {n_queries} query cannot be split into training and held-out ones; give at least 2.")
        return split_queries(n_queries, seed)
    heldout = _floats(path, data, "heldout", 1, (n_queries,)) > 0
    if heldout.all() or not heldout.any():
        raise TableError(f"{path}: heldout marks {int(heldout.sum())} of {n_queries} queries; it must leave some on both sides.")
    return Split(train=np.flatnonzero(~heldout), heldout=np.flatnonzero(heldout))


def _where(mask: Any) -> str:
    """Name the first place that the mask marks, as in `[3, 0]`."""
    return str([int(i) for i in np.argwhere(mask)[0]])
