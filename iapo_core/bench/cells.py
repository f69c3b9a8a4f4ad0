"""The cells of a sweep: one run of one algorithm with one budget on one reshuffle; each a pure function of its own key.

A cell's randomness hangs on (seed, run, budget) alone, by keyed children of one SeedSequence, so neither the order nor the
chunks nor the executor change a figure, and a bench that grows keeps the rows it has. All algorithms of one (run, budget) meet
the same split and the same stream, which pairs them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from iapo_core.arms import Arm, IntArray
from iapo_core.bench.arenas import Arena, Bout, bout
from iapo_core.bench.spelled import ORACLE, Spelled
from iapo_core.environments import RecordedEnvironment
from iapo_core.evaluate import FEWEST_QUERIES, judge
from iapo_core.events import Estimated, Finished, Trimmed
from iapo_core.optimize import start
from iapo_core.policy import Policy

Row = dict[str, Any]
_ONE_AT_A_TIME = (
    threading.Lock()
)  # a Dask worker may have threads; credit tables and environments are shared and not made for that


class Cell(NamedTuple):
    """One run to make."""

    arena: Arena
    algorithm: Spelled
    budget: int
    run: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells this cell's row apart."""
        return self.arena.name, self.algorithm.label, self.budget, self.run


def split_seed(seed: int, run: int) -> int:
    """Return the seed of a run's split: child (run,) of the bench's sequence."""
    return _number(np.random.SeedSequence(seed, spawn_key=(run,)))


def run_seed(seed: int, run: int, budget: int) -> int:
    """Return the seed of a run's draws: child (run, budget) of the bench's sequence."""
    return _number(np.random.SeedSequence(seed, spawn_key=(run, budget)))


def _number(sequence: np.random.SeedSequence) -> int:
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def run_cells(cells: Sequence[Cell], seed: int) -> list[Row]:
    """Make these runs, in order, and return a flat record of each; what a worker does.

    Raises:
        IapoError: If an algorithm refuses its options.
    """
    with _ONE_AT_A_TIME:
        return [_run_cell(cell, seed) for cell in cells]


def _run_cell(cell: Cell, seed: int) -> Row:
    scene = bout(cell.arena, split_seed(seed, cell.run))
    environment = scene.environment
    began = time.perf_counter()
    last, policy, spent = None, None, 0
    stayed = np.zeros(scene.truth.shape, dtype=np.int16)  # rounds that each arm outlived, (C, P, N)
    if cell.algorithm.name != ORACLE:
        for event in start(
            environment,
            budget=cell.budget,
            algorithm=cell.algorithm.name,
            seed=run_seed(seed, cell.run, cell.budget),
            **dict(cell.algorithm.options),
        ):
            if isinstance(event, Estimated):
                last = event
            elif isinstance(event, Trimmed):
                stayed += event.alive
            elif isinstance(event, Finished):
                policy, spent = event.policy, event.spent
    wall_s = time.perf_counter() - began
    row: Row = {
        "environment": cell.arena.name,
        "strategy": environment.strategy,
        "is_simulated": environment.is_simulated,
        "algorithm": cell.algorithm.label,
        "budget": cell.budget,
        "run": cell.run,
        "spent": spent,
        "acr": scene.oracle,
        "limit": scene.limit,
        "oracle": scene.oracle,
        "wall_s": wall_s,
        **dict.fromkeys(COVERAGE, 0),
    }
    if policy is not None:
        rows, scales = _picks(policy, environment.candidates)
        here = np.arange(len(rows))
        row["acr"] = float(scene.q_heldout[here, rows, scales].mean())
        if not isinstance(environment, RecordedEnvironment) and last is not None:  # a recording's truth is not known
            row |= _coverage(scene, last, stayed, rows, scales)
    return row


# How many 95 % intervals were reported, and how many of them hold the truth.
COVERAGE = (
    "arms_judged", "arms_covered", "young_judged", "young_covered",
    "picks_judged", "picks_covered", "heldout_judged", "heldout_covered", "differences_judged", "differences_covered",
)  # fmt: skip
COLUMNS = (
    "environment", "strategy", "is_simulated", "algorithm", "budget", "run", "spent", "acr", "limit", "oracle", "wall_s", *COVERAGE,
)  # fmt: skip


def _coverage(scene: Bout, last: Estimated, stayed: IntArray, rows: IntArray, scales: IntArray) -> Row:
    """Count reported intervals and those that hold the truth.

    Arms: the reward of every (weights, candidate, N), "young" where fewer than FEWEST_QUERIES queries stand behind it. Picks:
    the run's own estimate of the arms that it chose. Held-out and differences: the value of the pick and its margin over the
    runner-up as the decision card shows them; truth is the mean over all queries.
    """
    reward, half = last.reward.astype(float), last.half_width.astype(float)
    is_given = np.isfinite(reward) & np.isfinite(half)
    is_held = is_given & (np.abs(reward - scene.truth_reward) <= half + 1e-6)  # stored in single precision
    is_old = np.broadcast_to(last.n_queries >= FEWEST_QUERIES, reward.shape)
    which, here = scene.environment.contexts.which, np.arange(len(rows))
    pick_given, pick_held = is_given[which, rows, scales], is_held[which, rows, scales]
    n_max = stayed.shape[2]
    others = np.arange(stayed.shape[1])[None, :, None] != rows[:, None, None]  # (C, P, 1)
    value = scene.environment.net_of_cost(np.nan_to_num(reward, nan=-1e9), scene.environment.contexts)
    rivals = np.lexsort([x.reshape(len(here), -1) for x in (value, stayed, np.broadcast_to(others, value.shape))], axis=-1)[:, -1]
    names = scene.environment.candidates
    verdicts = judge(
        scene.heldout,
        [Arm(names[p], int(k) + 1) for p, k in zip(rows, scales, strict=True)],
        [Arm(names[a // n_max], int(a % n_max) + 1) if len(names) > 1 else None for a in rivals],
    )
    truth = scene.truth[here, rows, scales]
    gap = truth - scene.truth.reshape(len(here), -1)[here, rivals]
    return {
        "arms_judged": int((is_given & is_old).sum()),
        "arms_covered": int((is_held & is_old).sum()),
        "young_judged": int((is_given & ~is_old).sum()),
        "young_covered": int((is_held & ~is_old).sum()),
        "picks_judged": int(pick_given.sum()),
        "picks_covered": int(pick_held.sum()),
        "heldout_judged": sum(bool(np.isfinite(v.low)) for v in verdicts),
        "heldout_covered": sum(bool(v.low <= true <= v.high) for v, true in zip(verdicts, truth, strict=True)),
        "differences_judged": sum(bool(np.isfinite(v.margin_low)) for v in verdicts),
        "differences_covered": sum(bool(v.margin_low <= true <= v.margin_high) for v, true in zip(verdicts, gap, strict=True)),
    }


def _picks(policy: Policy, candidates: tuple[str, ...]) -> tuple[Any, Any]:
    """Return candidate rows and scale columns per context, each (C,)."""
    row_of = {name: p for p, name in enumerate(candidates)}
    return (
        np.array([row_of[choice.candidate] for choice in policy.choices]),
        np.array([choice.n - 1 for choice in policy.choices]),
    )
