"""Time what a cell of a bench consists of, and what one array program over many replicates would save.

    python benchmarks/cell.py [ENV] [--budget 20000] [--runs 10]

ENV is whatever `iapo bench` takes; the simulated Bernoulli environment where left out. All figures come from one process, one after
the other, so their ratios hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tiny matrix products are slower with threads

import numpy as np

from iapo_core.bench.arenas import arena, bout, opened
from iapo_core.bench.cells import Cell, run_cells, split_seed
from iapo_core.bench.spelled import algorithms
from iapo_core.environment import Outcomes, Pulls
from iapo_core.environments import TableEnvironment
from iapo_core.estimates import Estimates

SEED = 0
PARTS = {"draws": (TableEnvironment, "pull"), "credits": (Estimates, "add"), "intervals": (Estimates, "half_width")}


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Add up the seconds that the parts of a run take."""
    seconds: dict[str, float] = defaultdict(float)
    originals = {name: getattr(owner, method) for name, (owner, method) in PARTS.items()}

    def timed(name: str) -> Callable[..., Any]:
        def part(*arguments: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return originals[name](*arguments, **keywords)
            finally:
                seconds[name] += time.perf_counter() - began

        return part

    for name, (owner, method) in PARTS.items():
        setattr(owner, method, timed(name))
    try:
        yield seconds
    finally:
        for name, (owner, method) in PARTS.items():
            setattr(owner, method, originals[name])


def cells(text: str, budget: int, n_runs: int) -> None:
    """Print the parts of a cell, per run."""
    made = arena(text)
    began = time.perf_counter()
    bout(made, split_seed(SEED, 0))
    print(f"opening the environment, once per process: {1e3 * (time.perf_counter() - began):.0f} ms\n")
    print(f"{'ms per run':<12} {'reshuffle':>9} {'cell':>7} {'draws':>7} {'credits':>8} {'intervals':>9} {'other':>7}")
    for one in algorithms("psst,psst-topk,psst-eb,uniform,ucb,triple"):
        reshuffle = whole = 0.0
        with timed_parts() as seconds:
            for run in range(1, n_runs + 1):
                bout.cache_clear()
                began = time.perf_counter()
                bout(made, split_seed(SEED, run))
                opened_at = time.perf_counter()
                run_cells([Cell(made, one, budget, run)], SEED)
                reshuffle += opened_at - began
                whole += time.perf_counter() - opened_at
        parts = [seconds[name] for name in PARTS]
        figures = [1e3 * value / n_runs for value in (reshuffle, whole, *parts, whole - sum(parts))]
        print(
            f"{one.label:<12} {figures[0]:>9.2f} {figures[1]:>7.1f} "
            + " ".join(f"{f:>{w}.1f}" for f, w in zip(figures[2:], (7, 8, 9, 7), strict=True))
        )


def replicates(text: str, budget: int, n_runs: int) -> None:
    """Print what the credits of a first round cost, run by run and with the replicate as leading index of the candidates."""
    environment = opened(arena(text))
    n_candidates, n_max = len(environment.candidates), environment.n_max
    n_rounds = int(np.ceil(np.log2(n_candidates * n_max)))
    repeats = max(budget // n_rounds // (n_candidates * n_max), 1)
    rng = np.random.default_rng(SEED)
    print(f"\ncredits of one round, {repeats} pulls of {n_candidates} prompts, {n_runs} replicates, ms per replicate")
    for label, sizes in (
        ("all pulls of one size", np.full(n_candidates, n_max)),
        ("every prompt at an N of its own", rng.integers(1, n_max + 1, n_candidates)),
    ):
        batches: list[tuple[Pulls, Outcomes]] = []
        for _ in range(n_runs):
            candidates = np.repeat(np.arange(n_candidates), repeats)
            pulls = Pulls(candidates, rng.choice(environment.split.train, len(candidates)), sizes[candidates])
            batches.append((pulls, environment.pull(pulls)))
        arguments = (n_max, environment.contexts, environment.strategy, "blocks")
        began = time.perf_counter()
        for pulls, outcomes in batches:
            Estimates(n_candidates, *arguments).add(pulls, outcomes)
        apart = time.perf_counter() - began
        shifted = Pulls(
            np.concatenate([pulls.candidates + i * n_candidates for i, (pulls, _) in enumerate(batches)]),
            np.concatenate([pulls.queries for pulls, _ in batches]),
            np.concatenate([pulls.sizes for pulls, _ in batches]),
        )

        def joined(name: str, batches: list[tuple[Pulls, Outcomes]] = batches) -> Any:
            values = [getattr(outcomes, name) for _, outcomes in batches]
            return None if values[0] is None else np.concatenate(values)

        together_of = Outcomes(
            costs=joined("costs"), objectives=joined("objectives"), answers=joined("answers"), gold=joined("gold")
        )
        began = time.perf_counter()
        Estimates(n_runs * n_candidates, *arguments).add(shifted, together_of)
        together = time.perf_counter() - began
        print(
            f"{label:<32} apart {1e3 * apart / n_runs:6.2f}   together {1e3 * together / n_runs:6.2f}   ratio {apart / together:4.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", nargs="?", default="synth-bernoulli:3")
    parser.add_argument("--budget", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=10)
    arguments = parser.parse_args()
    cells(arguments.environment, arguments.budget, arguments.runs)
    replicates(arguments.environment, arguments.budget, 10 * arguments.runs)


if __name__ == "__main__":
    main()
