"""What the commands do, as text on the terminal."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iapo_core.arms import Contexts
from iapo_core.environment import default_grid
from iapo_core.environments import RecordedEnvironment, TableEnvironment, load_environment
from iapo_core.errors import ContextError
from iapo_core.evaluate import judge, score_queries
from iapo_core.events import Estimated, Event, Finished, Planned, Pulled, Trimmed, to_json
from iapo_core.optimize import start
from iapo_core.outputs.export import run_policy, with_heldout
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import task_entry, tasks
from iapo_core.runs.config import weighed
from iapo_core.runs.store import Store
from iapo_core.task import Context

Known = TableEnvironment | RecordedEnvironment


def run(arguments: argparse.Namespace) -> None:
    """`iapo run`: rounds as they go, the policy at the end."""
    if arguments.out is not None and not arguments.out.parent.is_dir():
        raise ContextError(
            f"{arguments.out.parent} is no folder; create it before writing {arguments.out.name} there."
        )
    place = Path(arguments.task)
    environment = load_environment(place if place.exists() or place.suffix else task_entry(arguments.task).path, arguments.seed)
    contexts = weighed([parse_context(text) for text in arguments.context], environment) if arguments.context else None
    options = {} if arguments.k is None else {"k": arguments.k}
    grid = default_grid(environment, n_max=arguments.n_max, contexts=contexts)
    events = start(
        environment,
        budget=arguments.budget,
        algorithm=arguments.algorithm,
        seed=arguments.seed,
        n_max=arguments.n_max,
        contexts=contexts,
        **options,
    )
    began = time.perf_counter()
    say = _say_json if arguments.json else _say_rounds(environment, grid.contexts, arguments)
    finished = _follow(events, say)
    provenance = {"algorithm": arguments.algorithm, "budget": arguments.budget, "spent": finished.spent, "seed": arguments.seed}
    policy = with_heldout(finished.policy.model_copy(update={"provenance": provenance}), environment)
    acr = environment.acr(policy)
    if arguments.json:
        print(
            json.dumps({"kind": "summary", "heldout_acr": acr, "spent": finished.spent, "policy": policy.model_dump(mode="json")})
        )
    else:
        _say_policy(policy, environment, acr, finished.spent, arguments.budget, time.perf_counter() - began)
    if arguments.out is not None:
        policy.save(arguments.out)
        if not arguments.json:
            print(f"\nWritten to {arguments.out}; load it with iapo_core.Policy.load.")


def parse_context(text: str) -> Context:
    """Read `name:objective=weight,...,cost=weight`.

    Raises:
        ContextError: If it is not of that form.
    """
    name, _, rest = text.partition(":")
    try:
        weights = {key.strip(): float(value) for key, _, value in (part.partition("=") for part in rest.split(","))}
        cost = weights.pop("cost", 0.0)
        return Context(id=name, weights=weights, cost_weight=cost)
    except ValueError as error:
        raise ContextError(
            f"The context {text!r} is not of the form name:objective=weight,...,cost=weight, such as dear:correct=1,cost=0.5."
        ) from error


def list_tasks(_arguments: argparse.Namespace) -> None:
    """`iapo tasks`."""
    rows = [("id", "origin", "strategy", "prompts", "queries", "N_max", "title")]
    rows += [
        (e.id, "SIMULATED" if e.is_simulated else e.origin, e.strategy, str(e.n_prompts), str(e.n_queries), str(e.n_max), e.title)
        for e in tasks()
    ]
    _print_table(rows)


def list_runs(_arguments: argparse.Namespace) -> None:
    """`iapo runs`."""
    rows = [("id", "state", "task", "algorithm", "spent", "budget", "started")]
    for row in Store.open().runs():
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_at))
        rows.append((row.id, row.state, row.config.task, row.config.algorithm, f"{row.spent:,}", f"{row.config.budget:,}", began))
    _print_table(rows)


def export(arguments: argparse.Namespace) -> None:
    """`iapo export`."""
    policy = run_policy(Store.open().run(arguments.run_id))
    if arguments.out is None:
        sys.stdout.write(policy.to_json())
    else:
        policy.save(arguments.out)
        print(f"Written to {arguments.out}.")


def import_from_paper(arguments: argparse.Namespace) -> None:
    """`iapo import-paper`."""
    from iapo_core.import_paper import import_paper

    print(import_paper(arguments.source, arguments.destination, index=arguments.index))


def prepare_showcase() -> None:
    """Make sure that the dashboard opens on a finished run."""
    from iapo_core.runs.worker import showcase

    showcase(Store.open())


def _follow(events: Iterable[Event], say: Any) -> Finished:
    event: Event | None = None
    for event in events:
        say(event)
    assert isinstance(event, Finished)  # noqa: S101 - what an algorithm ends with
    return event


def _say_json(event: Event) -> None:
    print(to_json(event), flush=True)


def _say_rounds(environment: Known, contexts: Contexts, arguments: argparse.Namespace) -> Any:
    mark = "SIMULATED task" if environment.is_simulated else "Task"
    n_arms = len(environment.candidates) * (arguments.n_max or environment.n_max)
    print(f"{mark} {environment.name}: {len(environment.candidates)} prompts, {n_arms:,} arms, {len(contexts)} contexts.")
    print(f"{arguments.algorithm} with a budget of {arguments.budget:,} completions, seed {arguments.seed}.\n")
    print(f"{'round':>7} {'purpose':<8} {'prompts':>7} {'pulls':>7} {'completions':>11} {'spent':>8} {'arms left':>10}  leader")
    seen: dict[type, Event] = {}

    def say(event: Event) -> None:
        seen[type(event)] = event
        if not isinstance(event, Trimmed):
            return
        plan, drawn, estimated = seen[Planned], seen[Pulled], seen[Estimated]
        assert isinstance(plan, Planned) and isinstance(drawn, Pulled) and isinstance(estimated, Estimated)  # noqa: S101, PT018
        left = event.alive.sum(axis=(1, 2))
        shown = f"{left.min():,}" if left.min() == left.max() else f"{left.min():,}-{left.max():,}"
        print(
            f"{plan.round:>3}/{plan.n_rounds:<3} {plan.purpose:<8} {int((plan.repeats > 0).sum()):>7} "
            f"{int(plan.repeats.sum()):>7,} {drawn.n_completions:>11,} {drawn.spent:>8,} {shown:>10}  "
            f"{_leader(environment, contexts, estimated, event)}",
            flush=True,
        )
        if plan.note:
            print(f"        note: {plan.note}")

    return say


def _leader(environment: Known, contexts: Contexts, estimated: Estimated, trimmed: Trimmed) -> str:
    """Name the best surviving arm of the first context."""
    cost = estimated.mean_costs[:, None] * np.arange(1, estimated.reward.shape[2] + 1)
    q = np.where(trimmed.alive[0], estimated.reward[contexts.which[0]] - contexts.cost_weights[0] * cost, np.nan)
    if np.isnan(q).all():
        return "nothing sampled yet"
    p, k = divmod(int(np.nanargmax(q)), q.shape[1])
    return f"{environment.candidates[p]}, N = {k + 1} ({contexts.ids[0]})"


def _say_policy(policy: Policy, environment: Known, acr: float, spent: int, budget: int, seconds: float) -> None:
    held = judge(
        score_queries(environment, environment.split.heldout, weighed(_contexts(policy), environment)),
        [policy.arm(context) for context in policy.contexts],
    )
    rows = [("context", "prompt", "N", "held-out utility", "95 % interval", "cost/query", "verdict")]
    for v in held:
        figures = (f"{v.value:.3f}", f"{v.low:.3f} to {v.high:.3f}", f"{v.cost_per_query:.4f}", v.verdict)
        rows.append((v.context, v.pick.candidate, str(v.pick.n), *figures))  # fmt: skip
    print("\nPolicy")
    _print_table(rows)
    kind = "exact" if isinstance(environment, TableEnvironment) else f"from {environment.n_stored} stored completions each"
    print(
        f"\nHeld-out ACR {acr:.4f} on {len(environment.split.heldout)} queries ({kind}); "
        f"spent {spent:,} of {budget:,} completions in {seconds:.2f} s."
    )
    if environment.is_simulated:
        print("SIMULATED: no model stands behind these figures.")


def _contexts(policy: Policy) -> list[Context]:
    return [Context(id=c.context, weights=c.weights, cost_weight=c.cost_weight) for c in policy.choices]


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
