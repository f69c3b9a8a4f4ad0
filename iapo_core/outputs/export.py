"""What leaves the product: the policy of a run as JSON, and its estimates as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from iapo_core.environments import RecordedEnvironment, TableEnvironment
from iapo_core.errors import PolicyError
from iapo_core.evaluate import Scores, judge, score_queries
from iapo_core.policy import Estimate, Policy
from iapo_core.reading.cells import guarded
from iapo_core.runs.catalogue import open_environment, task_entry
from iapo_core.runs.config import weighed
from iapo_core.runs.live_runs import is_live
from iapo_core.runs.store import RunRow
from iapo_core.task import Context
from iapo_core.task_file import read_task


def with_heldout(policy: Policy, environment: TableEnvironment | RecordedEnvironment) -> Policy:
    """Add the held-out estimate of every pick, and the prompts and scorers where the environment has a task."""
    contexts = weighed([Context(id=c.context, weights=c.weights, cost_weight=c.cost_weight) for c in policy.choices], environment)
    scores = score_queries(environment, environment.split.heldout, contexts)
    verdicts = judge(scores, [policy.arm(c) for c in policy.contexts])
    choices = tuple(
        choice.model_copy(
            update={"estimate": Estimate(value=v.value, low=v.low, high=v.high, n_queries=v.n_queries, source="heldout")}
        )
        for choice, v in zip(policy.choices, verdicts, strict=True)
    )
    policy = policy.model_copy(update={"choices": choices})
    return policy.with_task(environment.task) if environment.task is not None else policy


def run_policy(run: RunRow) -> Policy:
    """Return a run's policy with everything that deployment needs and where it comes from.

    Raises:
        PolicyError: If the run has none yet.
    """
    if run.policy is None:
        raise PolicyError(f"Run {run.id} is {run.state} and has no policy yet; wait until it is finished, or stop it.")
    provenance = {
        "run": run.id,
        "state": run.state,
        "algorithm": run.config.algorithm,
        "options": run.config.options,
        "budget": run.config.budget,
        "spent": run.spent,
        "seed": run.config.seed,
        "task_fingerprint": run.config.task_fingerprint,
        "created": datetime.fromtimestamp(run.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "iapo": version("iapo"),
    }
    if is_live(run.config.task):  # its held-out estimates were bought with the run
        return run.policy.model_copy(update={"provenance": provenance}).with_task(read_task(task_entry(run.config.task).path))
    environment = open_environment(run.config.task, run.config.seed)
    return with_heldout(run.policy.model_copy(update={"provenance": provenance}), environment)


def scores_csv(scores: Scores, *, is_simulated: bool) -> str:
    """Return every arm in every context as CSV; arms that were never sampled are left out."""
    rows = []
    for c, context in enumerate(scores.contexts.ids):
        for p, candidate in enumerate(scores.candidates):
            for k in range(scores.q.shape[2]):
                q, half = float(scores.q[c, p, k]), float(scores.half_width[c, p, k])
                if q == q:  # not nan
                    cost = float(scores.mean_costs[p]) * (k + 1)
                    rows.append((context, candidate, k + 1, q, q - half, q + half, int(scores.n_queries[p, k]), cost))
    header = ("context", "candidate", "n", "utility", "low", "high", "n_queries", "cost_per_query")
    origin = "SIMULATED" if is_simulated else "real"
    return safe_csv((*header, "source", "origin"), [(*row, scores.source, origin) for row in rows])


def safe_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write CSV that no spreadsheet takes for formulas: text that begins like one gets a leading apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([_guarded(name) for name in header])
    writer.writerows([_guarded(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def _guarded(cell: Any) -> Any:
    return guarded(cell) if isinstance(cell, str) else cell
