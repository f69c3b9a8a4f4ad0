"""`iapo run`: one run in this process, its rounds as they go and the policy at the end."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from iapo_core.commands.contexts import asked_contexts
from iapo_core.commands.tables import RoundTable, policy_lines
from iapo_core.environment import default_grid
from iapo_core.environments import RecordedEnvironment, TableEnvironment, load_environment
from iapo_core.errors import AlgorithmError, PolicyError
from iapo_core.events import Estimated, Event, Finished, to_json
from iapo_core.optimize import start
from iapo_core.outputs.export import with_heldout
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import task_entry
from iapo_core.runs.config import weighed
from iapo_core.task import Task
from iapo_core.task_file import read_task


def run(arguments: argparse.Namespace) -> None:
    """Run an algorithm on a task and print what happens.

    Raises:
        IapoError: If an argument cannot be used; then nothing was spent.
    """
    _check_writable(arguments.out)
    task = _live_task(arguments.task)
    if task is not None:
        from iapo_core.commands.live import run_live

        policy = run_live(arguments, task)
        if arguments.json:
            print(policy.model_dump_json())
        _save(policy, arguments.out, is_quiet=arguments.json)
        return
    environment = _open(arguments.task, arguments.seed)
    asked = asked_contexts(arguments)
    contexts = weighed(asked, environment) if asked else None
    grid = default_grid(environment, n_max=arguments.n_max, contexts=contexts)
    options = {} if arguments.k is None else {"k": arguments.k}
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
    seen: list[Event] = []
    for event in events if arguments.json else _in_rounds(events, RoundTable(environment, grid), arguments):
        seen.append(event)
        if arguments.json:
            print(to_json(event), flush=True)
    finished = seen[-1] if seen else None
    if not isinstance(finished, Finished):
        raise AlgorithmError(f"The algorithm {arguments.algorithm!r} ended without a policy; its last event must be Finished.")
    provenance = {
        "algorithm": arguments.algorithm,
        "options": options,
        "budget": arguments.budget,
        "spent": finished.spent,
        "seed": arguments.seed,
        "iapo": version("iapo"),
    }
    policy = with_heldout(finished.policy.model_copy(update={"provenance": provenance}), environment)
    acr = environment.acr(policy)
    if arguments.json:
        _print_summary(policy, acr, finished.spent)
    else:
        last = next(event for event in reversed(seen) if isinstance(event, Estimated))
        for line in policy_lines(policy, environment, grid, last):
            print(line)
        basis = "exact"
        if isinstance(environment, RecordedEnvironment):
            basis = f"from {environment.n_stored} stored completions each"
        print(f"\nHeld-out ACR {acr:.4f} on {len(environment.split.heldout)} queries, {basis}.")
        print(f"Spent {finished.spent:,} of {arguments.budget:,} completions in {time.perf_counter() - began:.2f} s.")
        if environment.is_simulated:
            print("SIMULATED: no model stands behind these figures.")
    _save(policy, arguments.out, is_quiet=arguments.json)


def _live_task(name: str) -> Task | None:
    """Return the task at a path or of the catalogue if its completions are bought, else None."""
    place = Path(name)
    if not place.exists() and "/" not in name and os.sep not in name and place.suffix not in (".npz", ".json"):
        place = task_entry(name).path
    folder = place if place.is_dir() else place.parent
    file = place if place.suffix == ".json" else folder / "task.json"
    if place.suffix == ".npz" or file.name == "simulation.json" or not file.is_file():
        return None
    task = read_task(file)
    return task if task.origin == "live" else None


def _open(task: str, seed: int) -> TableEnvironment | RecordedEnvironment:
    """Open a path, else the bundled or added task of that name."""
    place = Path(task)
    is_path = place.exists() or place.suffix in (".npz", ".json") or "/" in task or os.sep in task
    return load_environment(place if is_path else task_entry(task).path, seed)


def _in_rounds(events: Iterator[Event], table: RoundTable, arguments: argparse.Namespace) -> Iterator[Event]:
    """Pass the events on and print a line for each round."""
    for line in table.head(arguments.algorithm, arguments.budget, arguments.seed):
        print(line)
    for event in events:
        for line in table.lines(event):
            print(line, flush=True)
        yield event


def _print_summary(policy: Policy, acr: float, spent: int) -> None:
    summary = {
        "kind": "summary",
        "is_simulated": policy.is_simulated,
        "heldout_acr": acr,
        "spent": spent,
        "policy": policy.model_dump(mode="json"),
    }
    print(json.dumps(summary, separators=(",", ":")))


def _check_writable(out: Path | None) -> None:
    """Refuse before anything is spent."""
    if out is not None and (not out.parent.is_dir() or out.is_dir()):
        raise PolicyError(f"{out} cannot be written, it must be a file in a folder that exists; correct --out.")


def _save(policy: Policy, out: Path | None, *, is_quiet: bool) -> None:
    if out is None:
        return
    save(policy, out)
    if not is_quiet:
        print(f"\nWritten to {out}; load it with iapo_core.Policy.load.")


def save(policy: Policy, out: Path) -> None:
    """Write a policy.

    Raises:
        PolicyError: If the file cannot be written.
    """
    try:
        policy.save(out)
    except OSError as error:
        raise PolicyError(f"{out} cannot be written ({error.strerror}); choose another place with --out.") from error
