"""Print, as markdown, what the recorded tasks show: how prompts rank at each N, and which arm wins at each price.

python sample_tasks/evidence.py topics animals explain
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from iapo_core.arms import Contexts, FloatArray
from iapo_core.environments import RecordedEnvironment
from iapo_core.environments.recorded import load_recording
from iapo_core.evaluate import Scores, judge, score_queries
from iapo_core.task_file import read_task

SCALES = (1, 3, 8, 32)
COST_WEIGHTS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)


def everything(environment: RecordedEnvironment, contexts: Contexts) -> Scores:
    """Score all arms on all queries from every stored completion."""
    return score_queries(environment, np.arange(len(environment.task.queries)), contexts)


def ranks(values: FloatArray) -> np.ndarray:
    """Return the rank of each value, 1 for the highest."""
    order = np.empty(len(values), dtype=int)
    order[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return order


def prompts_table(environment: RecordedEnvironment) -> str:
    """Return quality and rank of every prompt at some N, per objective."""
    scores = everything(environment, environment.contexts)
    lines = []
    for k, objective in enumerate(environment.objectives):
        shown = [n for n in SCALES if n <= environment.n_max]
        lines += [f"*{objective}*", "", "| prompt | " + " | ".join(f"N = {n}" for n in shown) + " | cost per completion |"]
        lines += ["|---|" + "---|" * (len(shown) + 1)]
        means = scores.objective_means[k]
        by_scale = {n: ranks(means[:, n - 1]) for n in shown}
        for p in np.argsort(-means[:, 0]):
            cells = " | ".join(f"{means[p, n - 1]:.2f} ({by_scale[n][p]})" for n in shown)
            lines.append(f"| {environment.candidates[p]} | {cells} | {scores.mean_costs[p]:.4f} |")
        lines.append("")
    return "\n".join(lines)


def winners_table(environment: RecordedEnvironment) -> str:
    """Return the best arm per weights and cost weight, with its runner-up among the other prompts."""
    n_objectives = len(environment.objectives)
    mixes = [(1.0,)] if n_objectives == 1 else [(0.2, 0.8), (0.5, 0.5), (0.8, 0.2)]
    names, weights, costs = [], [], []
    for mix in mixes:
        for cost in COST_WEIGHTS:
            label = (
                ""
                if n_objectives == 1
                else " / ".join(f"{w:g} {o}" for w, o in zip(mix, environment.objectives, strict=True)) + ", "
            )
            names.append(f"{label}cost {cost:g}")
            weights.append(mix)
            costs.append(cost)
    scores = everything(environment, Contexts(tuple(names), np.array(weights), np.array(costs)))
    lines = [
        "| weights | best arm | utility, 95 % interval | best arm of another prompt | margin, 95 % interval | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for verdict in judge(scores):
        rival = verdict.runner_up
        lines.append(
            f"| {verdict.context} | {verdict.pick.candidate}, N = {verdict.pick.n} "
            f"| {verdict.value:.3f} ({verdict.low:.3f} to {verdict.high:.3f}) | {rival.candidate}, N = {rival.n} "
            f"| {verdict.margin:+.3f} ({verdict.margin_low:+.3f} to {verdict.margin_high:+.3f}) | {verdict.verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    for name in sys.argv[1:] or ["topics", "animals", "explain"]:
        folder = Path(__file__).parent / name
        task = read_task(folder)
        environment = load_recording(task, folder, seed=0)
        size = f"{len(task.prompts)} prompts, {len(task.queries)} queries, {environment.n_stored} completions per pair"
        print(f"### {task.title} (`{task.id}`)\n\n{size}.\n")
        print(prompts_table(environment))
        print(winners_table(environment) + "\n")


if __name__ == "__main__":
    main()
