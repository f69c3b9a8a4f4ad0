"""`iapo tasks`, `iapo runs`, `iapo export`, `iapo import-paper`: what is stored, as text or files."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing

from iapo_core.commands.run import save
from iapo_core.commands.tables import aligned
from iapo_core.outputs.export import run_policy
from iapo_core.runs.catalogue import tasks
from iapo_core.runs.store import Store


def list_tasks(_arguments: argparse.Namespace) -> None:
    """Print the catalogue."""
    rows = [("id", "origin", "strategy", "prompts", "queries", "N_max", "title")]
    rows += [
        (e.id, "SIMULATED" if e.is_simulated else e.origin, e.strategy, str(e.n_prompts), str(e.n_queries), str(e.n_max), e.title)
        for e in tasks()
    ]
    for line in aligned(rows):
        print(line)


def list_runs(_arguments: argparse.Namespace) -> None:
    """Print the stored runs, newest first."""
    rows = [("id", "state", "task", "algorithm", "spent", "budget", "created")]
    with closing(Store.open()) as store:
        for run in store.runs():
            created = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created_at))
            counts = (f"{run.spent:,}", f"{run.config.budget:,}")
            rows.append((run.id, run.state, run.config.task, run.config.algorithm, *counts, created))
    if len(rows) == 1:
        print("There is no run yet; start one in the dashboard, which `iapo` opens.")
        return
    for line in aligned(rows):
        print(line)


def export(arguments: argparse.Namespace) -> None:
    """Write the policy of a stored run as JSON.

    Raises:
        RunError: If there is no such run.
        PolicyError: If it has no policy, or the file cannot be written.
    """
    with closing(Store.open()) as store:
        policy = run_policy(store.run(arguments.run_id))
    if arguments.out is None:
        sys.stdout.write(policy.to_json())
    else:
        save(policy, arguments.out)
        print(f"Written to {arguments.out}.")


def import_from_paper(arguments: argparse.Namespace) -> None:
    """Convert an environment that the paper's authors released."""
    from iapo_core.import_paper import import_paper

    print(import_paper(arguments.source, arguments.destination, index=arguments.index))
