"""How often 95 % intervals hold the truth, where the truth is known: every table is taken for the population of a task's queries.

    python benchmarks/coverage.py [synth-bernoulli:3 synth-categorical:11 TABLE.npz ...] [--queries 60,300] [--budgets 1000,5000]
        [--algorithms psst] [--runs 100]

Each run draws its queries from the population with replacement, keeps a fifth of them aside, and chooses. Judged are: arms (the
run's estimates, by the number of queries behind them), the pick by the run's own data (naively, and as the decision card shows it
where nothing was drawn on the queries kept aside), the pick on the queries kept aside, its margin over the runner-up there, and the
live check, which buys the pick's completions on the first eight of the queries kept aside.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from itertools import product

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # tiny matrix products are slower with threads

import numpy as np

from iapo_core.arms import Arm
from iapo_core.bench.arenas import arena, opened
from iapo_core.environments import TableEnvironment
from iapo_core.evaluate import judge, score_queries, score_run
from iapo_core.observations import Observations, observe
from iapo_core.optimize import optimize
from iapo_core.resampling import wary
from iapo_core.reweigh import contenders
from iapo_core.runs.heldout import check

YOUNG, FEW = 8, 20  # queries behind an arm
LIVE_QUERIES = 8
KINDS = ("arms under 8", "arms under 20", "arms", "pick, naive", "pick, own", "pick, aside", "margin", "pick, live")


def run(population: TableEnvironment, truth: np.ndarray, n_queries: int, budget: int, algorithm: str, seed: int) -> Counter:
    """Return, for each kind of interval, how many there were and how many held the truth."""
    task = population.sampled(n_queries, np.random.default_rng([seed, n_queries, budget]))
    seen: Counter = Counter()
    found = optimize(task, budget=budget, algorithm=algorithm, seed=seed)
    picks = [Arm(choice.candidate, choice.n) for choice in found.policy.choices]
    observed: Observations = observe(task, budget=budget, algorithm=algorithm, seed=seed)
    estimates = observed.estimates(task.contexts)
    at = [(task.candidates.index(pick.candidate), pick.n - 1) for pick in picks]
    n_behind = estimates.n_queries()
    for c in range(len(at)):
        low, high = estimates.ends(c)
        held = (low <= truth[c]) & (truth[c] <= high)
        for kind, which in zip(KINDS, (n_behind < YOUNG, (n_behind >= YOUNG) & (n_behind < FEW), n_behind >= FEW), strict=False):
            given = which & np.isfinite(low)
            seen[kind, 1] += int(given.sum())
            seen[kind, 0] += int((given & held).sum())
    naive = judge(score_run(observed, task.contexts), picks)
    for c, verdicts in enumerate(zip(naive, wary(naive, observed, task.contexts), strict=True)):
        for kind, verdict in zip(("pick, naive", "pick, own"), verdicts, strict=True):
            if np.isfinite(verdict.low):
                tally(seen, kind, verdict.low, verdict.high, truth[c][at[c]])
    rivals = [found.runner_up for found in contenders(observed, task.contexts, picks=picks)]
    aside = score_queries(task, task.split.heldout, task.contexts)
    for c, verdict in enumerate(judge(aside, picks, rivals)):
        tally(seen, "pick, aside", verdict.low, verdict.high, truth[c][at[c]])
        if verdict.runner_up is not None:
            rival = task.candidates.index(verdict.runner_up.candidate), verdict.runner_up.n - 1
            tally(seen, "margin", verdict.margin_low, verdict.margin_high, truth[c][at[c]] - truth[c][rival])
    per_query = sum({p: max(k + 1 for q, k in at if q == p) for p, _ in at}.values())
    bought, _ = check(task.for_run(seed + 1), found.policy, LIVE_QUERIES * per_query)
    for c, choice in enumerate(bought.choices):
        if choice.estimate is not None:
            tally(seen, "pick, live", choice.estimate.low, choice.estimate.high, truth[c][at[c]])
    return seen


def tally(seen: Counter, kind: str, low: float, high: float, true: float) -> None:
    """Count one interval."""
    seen[kind, 1] += 1
    seen[kind, 0] += bool(low - 1e-6 <= true <= high + 1e-6)  # events carry single precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environments", nargs="*", default=["synth-bernoulli:3", "synth-categorical:11"])
    parser.add_argument("--queries", default="60,300")
    parser.add_argument("--budgets", default="1000,5000")
    parser.add_argument("--algorithms", default="psst")
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    print("| population | algorithm | queries | T | " + " | ".join(KINDS) + " |")
    print("|" + "---|" * (4 + len(KINDS)))
    for spelling in given.environments:
        population = opened(arena(spelling))
        if not isinstance(population, TableEnvironment):
            parser.error(f"{spelling} is no table; the truth of a recording is not known")
        truth = population.q_values(np.arange(population.n_queries))
        for algorithm, n, t in product(
            given.algorithms.split(","), map(int, given.queries.split(",")), map(int, given.budgets.split(","))
        ):
            seen: Counter = sum((run(population, truth, n, t, algorithm, seed) for seed in range(given.runs)), Counter())
            shares = [f"{100 * seen[k, 0] / seen[k, 1]:.1f}" if seen[k, 1] else "-" for k in KINDS]
            print(f"| {population.name} | {algorithm} | {n} | {t:,} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main()
