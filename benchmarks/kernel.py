"""Time a PSST run beside a plain triple-loop reference that makes the same draws and the same trims.

    python benchmarks/kernel.py [ANSWERS.npz] [--budget 20000] [--repeats 5]

Prints medians of process time and their ratio. Without a table it uses the simulated Bernoulli environment.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from math import ceil, log2

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tiny matrix products are slower with threads

import numpy as np

import iapo_core as iapo
from iapo_core.environment import Environment, Pulls
from iapo_core.environments.synthetic import synth_bernoulli


def reference(environment: Environment, budget: int, seed: int) -> list[tuple[int, int]]:
    """PSST for majority votes, one (context, arm, block) at a time; returns the pick (candidate, N) of each context."""
    rng = np.random.default_rng(seed)
    environment = environment.for_run(seed)
    n_candidates, n_max = len(environment.candidates), environment.n_max
    costs = environment.mean_costs()
    weights = environment.contexts.cost_weights
    alive = [[(p, k) for p in range(n_candidates) for k in range(1, n_max + 1)] for _ in weights]
    totals: list[dict[tuple[int, int], list[float]]] = [{arm: [0.0, 0] for arm in arms} for arms in alive]
    n_rounds, spent = ceil(log2(n_candidates * n_max)), 0
    for r in range(n_rounds):
        scales = [max((k for arms in alive for q, k in arms if q == p), default=0) for p in range(n_candidates)]
        repeats = (budget - spent) // (n_rounds - r) // max(sum(scales), 1)
        candidates = np.repeat(np.arange(n_candidates), [repeats if s else 0 for s in scales])
        if len(candidates):
            queries = rng.choice(environment.split.train, size=len(candidates))
            outcomes = environment.pull(Pulls(candidates, queries, np.array(scales)[candidates]))
            for row, p in enumerate(candidates):
                answers = outcomes.answers[row, : scales[p]].tolist()
                gold = int(outcomes.gold[row])
                for c in range(len(weights)):
                    for k in range(1, scales[p] + 1):
                        credit, n_blocks = 0.0, scales[p] // k
                        for b in range(n_blocks):
                            votes: dict[int, int] = {}
                            for answer in answers[b * k : b * k + k]:
                                votes[answer] = votes.get(answer, 0) + 1
                            top = max(votes.values())
                            winners = [answer for answer, n in votes.items() if n == top]
                            credit += (gold in winners) / len(winners)
                        total = totals[c][p, k]
                        total[0] += credit / n_blocks
                        total[1] += 1
            spent += sum(scales[p] for p in candidates)
        size = len(alive[0])
        noise = rng.random(n_candidates * n_max)  # one order among equals for all contexts
        for c, arms in enumerate(alive):
            keyed = []
            for arm in arms:
                total, n = totals[c][arm]
                q = total / n - weights[c] * (costs[arm[0]] * arm[1]) if n else -float("inf")
                keyed.append((-q, noise[arm[0] * n_max + arm[1] - 1], arm))
            keyed.sort()
            alive[c] = sorted(arm for _, _, arm in keyed[: ceil(size / 2)])
    return [arms[0] for arms in alive]


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median process time of the call."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?")
    parser.add_argument("--budget", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    environment = iapo.load_environment(arguments.table) if arguments.table else synth_bernoulli(0)
    budget = arguments.budget

    run = iapo.optimize(environment, budget=budget, seed=0)
    picks = [(environment.candidates.index(c.candidate), c.n) for c in run.policy.choices]
    same = picks == reference(environment, budget, 0)
    kernel = seconds(lambda: iapo.optimize(environment, budget=budget, seed=0), arguments.repeats)
    plain = seconds(lambda: reference(environment, budget, 0), max(arguments.repeats // 2, 1))
    print(
        f"environment  {environment.name}{' (SIMULATED)' if environment.is_simulated else ''}: {len(environment.candidates)} prompts,"
    )
    print(f"             N_max {environment.n_max}, {len(environment.contexts)} contexts, budget {budget:,}, spent {run.spent:,}")
    print(f"same picks   {'yes' if same else 'NO'}")
    print(f"kernel       {kernel * 1e3:9.1f} ms")
    print(f"triple loop  {plain * 1e3:9.1f} ms")
    print(f"ratio        {plain / kernel:9.1f} x")


if __name__ == "__main__":
    main()
