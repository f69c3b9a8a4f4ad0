"""Testing a task on a few queries before any run: planned, priced, bought through the ledger, and read back.

What is tried is a cut of the task: the candidates asked for, the first training queries that a run with seed 0 would have. The
same requests are the same draws, so a later run finds what a test has paid for, and a test finds what a run has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from iapo_core.environment import split_queries
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.prices import price_of
from iapo_core.environments.recorded import Completion
from iapo_core.errors import LiveError, TaskError
from iapo_core.policy import candidate_name
from iapo_core.runs.catalogue import TRY, keep_try, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.evidence import evidence_environment
from iapo_core.runs.plan import dollars_of
from iapo_core.runs.rows import RunRow
from iapo_core.runs.store import Store
from iapo_core.runs.worker import start_keyed_worker
from iapo_core.task import Excluded, Query, Task

N_QUERIES = 3
MAX_CANDIDATES = 3


@dataclass(frozen=True)
class Plan:
    """What a test can cost; dollars are nan where a price is not known."""

    n_completions: int
    n_verdicts: int
    expected_usd: float
    worst_usd: float
    sources: tuple[str, ...]
    unpriced: tuple[str, ...]


@dataclass(frozen=True)
class Tried:
    """One completion of a test, as it was judged."""

    candidate: str
    query: Query
    completion: Completion


def cut(task: Task, candidates: Sequence[int]) -> Task:
    """Return the task with these candidates alone, and the queries that they are tried on as its training queries.

    Raises:
        TaskError: If there are none, or more than a test takes.
    """
    if not 1 <= len(candidates) <= MAX_CANDIDATES:
        raise TaskError(f"A test takes 1 to {MAX_CANDIDATES} candidates, not {len(candidates)}.")
    pairs = [task.candidates[c] for c in candidates]
    prompts = [p for p in task.prompts if any(p.id == prompt.id for prompt, _ in pairs)]
    decoding = [d for d in task.decoding if any(d.id == config.id for _, config in pairs)]
    kept = {(prompt.id, config.id) for prompt, config in pairs}
    tried, aside = tried_queries(task)
    order = split_queries(len(tried) + 1, 0)
    queries = [aside] * (len(tried) + 1)
    for row, query in zip(order.train, tried, strict=True):
        queries[int(row)] = query
    data = task.model_copy(
        update={
            "id": "test",
            "title": f"Test on {len(tried)} queries",
            "description": "",
            "prompts": tuple(prompts),
            "decoding": tuple(decoding),
            "queries": tuple(queries),
            "contexts": task.contexts[:1],
            "n_max": 1,
            "excluded": tuple(
                Excluded(prompt=p.id, decoding=d.id) for p in prompts for d in decoding if (p.id, d.id) not in kept
            ),
        }
    )
    return Task.model_validate(data.model_dump(by_alias=True))


def tried_queries(task: Task) -> tuple[list[Query], Query]:
    """Return the first training queries of a run with seed 0, and one that it keeps aside."""
    split = split_queries(len(task.queries), 0)
    return [task.queries[int(row)] for row in split.train[:N_QUERIES]], task.queries[int(split.heldout[0])]


def settings(max_usd: float | None = None) -> LiveSettings:
    """Return how a test buys: few calls at once, nothing set aside for held-out queries.

    Raises:
        LiveError: If the cap is no amount of dollars.
    """
    try:
        return LiveSettings(concurrency=N_QUERIES, heldout_share=0.0, max_usd=max_usd)
    except ValueError as error:
        raise LiveError(f"The dollar cap is an amount above 0, not {max_usd}.") from error


def plan(store: Store, task: Task, live: LiveSettings) -> Plan:
    """Say what a test of a cut task can cost, before anything is bought.

    Raises:
        LiveError: If a dollar cap has no price to count by.
    """
    dollars, n_queries = dollars_of(store, task, live), len(tried_queries(task)[0])
    if dollars.unknown and live.max_usd is not None:
        raise LiveError(
            f"The price of {dollars.unknown[0]!r} is not known, so a dollar cap cannot be kept; give its price with its decoding "
            "config."
        )
    n_completions = n_queries * len(task.candidates)
    return Plan(
        n_completions=n_completions,
        n_verdicts=n_completions * dollars.n_judges,
        expected_usd=float(n_queries * dollars.expected.sum()),
        worst_usd=float(n_queries * dollars.worst.sum()),
        sources=dollars.sources,
        unpriced=dollars.unknown,
    )


def run_id_of(task: Task, live: LiveSettings) -> str:
    """Return the id of a cut task's test: the same test is the same run, and is paid for once."""
    return f"{TRY}{hashlib.sha256(f'{task.fingerprint} {live.model_dump_json()}'.encode()).hexdigest()[:20]}"


def begin(store: Store, task: Task, live: LiveSettings, keys: Mapping[str, str]) -> str:
    """Start the test of a cut task, or go on with it; returns its run's id.

    A worker of its own buys, whether keys were typed or not: nobody waits for a test until a run of hours has ended.

    Raises:
        IapoError: If the task or the key cannot be used.
    """
    plan(store, task, live)
    task_id = keep_try(task)
    config = RunConfig(
        task=task_id,
        task_fingerprint=task_fingerprint(task_id),
        budget=len(task.candidates) * len(tried_queries(task)[0]),
        algorithm="tryout",
        n_max=1,
        contexts=task.contexts,
        live=live,
    )
    run_id = store.create_run(config, run_id=run_id_of(task, live), needs_keys=True)
    if store.run(run_id).state != "finished":
        start_keyed_worker(store, run_id, keys)
    return run_id


def results(store: Store, run: RunRow) -> list[Tried]:
    """Return what a finished test drew, candidate by candidate.

    Raises:
        IapoError: If its task or a completion is gone.
    """
    environment: Any = evidence_environment(store, run, [event for _, event in store.events(run.id)])
    return tried(environment, range(len(environment.candidates)))


def tried(environment: Any, candidates: Sequence[int]) -> list[Tried]:
    """Return the first completion of each candidate on each query of a test, from an environment that has texts."""
    task: Task = environment.task
    found = []
    for c in candidates:
        prompt, decoding = task.candidates[c]
        price = price_of(decoding, LiveSettings())
        for row in environment.split.train[:N_QUERIES]:
            for completion in environment.texts(c, int(row))[:1]:
                if math.isnan(completion.usd):  # a recording counts tokens alone
                    usd = price.usd(completion.prompt_tokens, completion.completion_tokens)
                    completion = replace(completion, usd=usd)
                found.append(Tried(candidate_name(prompt, decoding, task), task.queries[int(row)], completion))
    return found


def usd_per_thousand(rows: Sequence[Tried]) -> float:
    """Return what 1,000 queries cost at N = 1, by the mean of these completions; nan where a price is not known."""
    return 1000 * sum(row.completion.usd for row in rows) / len(rows) if rows else math.nan
