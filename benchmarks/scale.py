"""Time and memory of one large run: 1,000 prompts, N up to 64, 1,000 contexts, a million completions.

    python benchmarks/scale.py [--prompts 1000] [--n-max 64] [--contexts 1000] [--budget 1000000] [--algorithms psst,psst-eb]
        [--profile 12]

Each algorithm runs in a process of its own. Prints seconds of process time, split into drawing and everything else, and the peak
memory beyond what the environment itself takes; with --profile also the functions that took most, by their own time.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import time
from importlib.metadata import version
from multiprocessing import get_context

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tiny matrix products are slower with threads

import numpy as np

from iapo_core.arms import Contexts
from iapo_core.environment import Outcomes, Pulls
from iapo_core.environments import TableEnvironment
from iapo_core.environments.synthetic import synth_bernoulli
from iapo_core.events import Finished
from iapo_core.optimize import start


def measure(
    algorithm: str, n_prompts: int, n_max: int, n_contexts: int, budget: int, n_profiled: int
) -> tuple[float, float, float, int]:
    """Return seconds in all, seconds of drawing, peak MB beyond the environment, and completions spent."""
    environment = synth_bernoulli(0, n_prompts=n_prompts, n_max=n_max)
    weights = np.geomspace(1e-3, 1, n_contexts)
    contexts = Contexts(tuple(f"c{i}" for i in range(n_contexts)), np.ones((n_contexts, 1)), weights)
    drawing = [0.0]
    draw = TableEnvironment.pull

    def timed(self: TableEnvironment, pulls: Pulls) -> Outcomes:
        began = time.process_time()
        outcomes = draw(self, pulls)
        drawing[0] += time.process_time() - began
        return outcomes

    TableEnvironment.pull = timed  # type: ignore[method-assign]
    before, began, spent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), 0
    profile = cProfile.Profile()
    if n_profiled:
        profile.enable()
    for event in start(environment, budget=budget, algorithm=algorithm, seed=0, contexts=contexts):
        if isinstance(event, Finished):
            spent = event.spent
    profile.disable()
    seconds = time.process_time() - began
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if n_profiled:
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(n_profiled)
    return seconds, drawing[0], peak, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--n-max", type=int, default=64)
    parser.add_argument("--contexts", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=1_000_000)
    parser.add_argument("--algorithms", default="psst,psst-eb")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES")
    given = parser.parse_args()
    print(f"iapo {version('iapo')}, {given.prompts:,} prompts, N up to {given.n_max}, {given.contexts:,} contexts")
    for algorithm in given.algorithms.split(","):
        with get_context("spawn").Pool(1) as pool:
            arguments = (algorithm, given.prompts, given.n_max, given.contexts, given.budget, given.profile)
            found = pool.apply(measure, arguments)
        seconds, drawing, peak, spent = found
        print(
            f"{algorithm:<10} {spent:>9,} spent  {seconds:6.2f} s, of these {drawing:.2f} s drawing  {peak:6.0f} MB", flush=True
        )


if __name__ == "__main__":
    main()
