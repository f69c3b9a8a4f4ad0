"""`iapo run` on a live task: completions are bought through the ledger, rounds and dollars are printed as they go."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from pydantic import ValidationError

from iapo_core.commands.contexts import asked_contexts
from iapo_core.commands.tables import RoundTable, aligned
from iapo_core.environment import Environment, default_grid
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.recorded import contexts_of
from iapo_core.errors import LiveError, RunError
from iapo_core.events import Event
from iapo_core.optimize import ALGORITHMS
from iapo_core.outputs.export import run_policy
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import data_dir, keep_task, task_fingerprint
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.drive import drive
from iapo_core.runs.lease import LEASE_S, HeldLease
from iapo_core.runs.ledger import spending
from iapo_core.runs.live_runs import Access
from iapo_core.runs.local_server import KEY_SLOT, SLOTS
from iapo_core.runs.store import Store
from iapo_core.runs.worker import on_signals
from iapo_core.task import Task


def run_live(arguments: argparse.Namespace, task: Task) -> Policy:
    """Buy, print and return the policy; the run is stored like those of the dashboard.

    Raises:
        IapoError: If an argument cannot be used (then nothing was bought), or the run stopped before it had a policy.
    """
    if arguments.algorithm not in ALGORITHMS:
        raise LiveError(f"There is no algorithm {arguments.algorithm!r}; choose one of {', '.join(ALGORITHMS)}.")
    if arguments.budget < 1:
        raise LiveError(f"The budget is a whole number of completions, at least 1, not {arguments.budget}.")
    with _access(arguments) as (settings, access, model):
        if changes := _instead(arguments, model):
            task = task.model_copy(update={"decoding": tuple(d.model_copy(update=changes) for d in task.decoding)})
        task_id = keep_task(task)
        asked = asked_contexts(arguments)
        config = RunConfig(
            task=task_id,
            task_fingerprint=task_fingerprint(task_id),
            budget=arguments.budget,
            algorithm=arguments.algorithm,
            options={} if arguments.k is None else {"k": arguments.k},
            seed=arguments.seed,
            n_max=arguments.n_max or task.n_max,
            contexts=tuple(asked) if asked else named(contexts_of(task, task.contexts), [o.id for o in task.objectives]),
            live=settings,
        )
        with closing(Store.open()) as store:
            return _drive(store, config, access, is_quiet=arguments.json)


def _drive(store: Store, config: RunConfig, access: Access, *, is_quiet: bool) -> Policy:
    run_id = store.create_run(config, is_kept=True)  # no worker takes it before this process does
    claim = store.claim("command line", LEASE_S, run_id)
    if claim is None:
        raise RunError(f"Run {run_id} was taken by another process; look at it with iapo runs.")
    printer = _Printer(config, is_quiet=is_quiet)
    began = time.perf_counter()
    with on_signals() as is_leaving, HeldLease(store, claim, LEASE_S) as lease:
        drive(store, lease, is_leaving, access=access, on_event=printer, rests="stopped")
    run = store.run(run_id)
    now = spending(store, run_id)
    if now is not None and printer.is_begun and not is_quiet:
        dollars = "dollars unknown, the price is not" if now.usd == 0 and not printer.is_priced else f"{now.usd:.6f} $"
        print(
            f"\nRun {run_id} {run.state}: {now.bought:,} completions bought ({now.failed:,} failed, {now.lost:,} lost), "
            f"{now.reused:,} reused, {dollars}; {time.perf_counter() - began:.1f} s."
        )
        if now.verdict_cap:
            print(
                f"{now.verdicts:,} of at most {now.verdict_cap:,} judge calls bought ({now.unread:,} gave no grade, "
                f"{now.verdicts_lost:,} lost), {now.verdict_usd:.6f} $ of the dollars."
            )
    if run.policy is None:
        raise RunError(run.message or f"Run {run_id} is {run.state} without a policy; what was bought is kept.")
    if run.message and not is_quiet:
        print(run.message)
    policy = run_policy(run)
    if not is_quiet:
        for line in _lines(policy):
            print(line)
    return policy


def _instead(arguments: argparse.Namespace, model: str | None) -> dict[str, str | None]:
    """Return what the command line puts in place of the task's own: an address takes the key named for another one away."""
    changes: dict[str, str | None] = {}
    if model is not None:
        changes = {"model": model, "usd_per_million_prompt": None, "usd_per_million_completion": None}
    if model is not None or arguments.api_base is not None:
        changes |= {"api_base": None, "api_key_env": None}
    if arguments.api_key_env is not None:
        changes |= {"api_key_env": None}
    if arguments.price is not None:
        changes |= {"usd_per_million_prompt": None, "usd_per_million_completion": None}
    return changes


class _Printer:
    """Prints a line per round."""

    def __init__(self, config: RunConfig, *, is_quiet: bool) -> None:
        self._config, self._is_quiet = config, is_quiet
        self._table: RoundTable | None = None
        self.is_priced = False

    @property
    def is_begun(self) -> bool:
        """True once something happened."""
        return self._table is not None

    def __call__(self, environment: Environment, event: Event) -> None:
        if self._is_quiet:
            return
        if self._table is None:
            contexts = self._config.arguments(environment)["contexts"]
            self._table = RoundTable(environment, default_grid(environment, n_max=self._config.n_max, contexts=contexts))
            self._head(environment)
        for line in self._table.lines(event):
            print(line, flush=True)

    def _head(self, environment: Environment) -> None:
        assert self._table is not None  # noqa: S101 - set by the caller
        config, live = self._config, self._config.live
        for line in self._table.head(config.algorithm, config.budget - config.heldout_budget, config.seed):
            print(line)
            if line.startswith(config.algorithm) and live is not None:
                prices = getattr(environment, "prices", ())
                self.is_priced = any(price.is_known for price in prices)
                print(
                    f"{config.heldout_budget:,} more are set aside for held-out queries. At most {config.budget:,} completions are "
                    f"bought, and {live.lost_allowance:,} in place of lost ones should this process die."
                )
                print(
                    f"Prices: {'; '.join(sorted({price.source for price in prices}))}. "
                    + (f"At most {live.max_usd:g} $." if live.max_usd else "No dollar cap.")
                )


def _lines(policy: Policy) -> Iterator[str]:
    rows = [("context", "prompt", "N", "held-out", "95 % interval", "queries")]
    for choice in policy.choices:
        known = choice.estimate
        figures = (
            ("not checked", "", "0")
            if known is None
            else (f"{known.value:.3f}", f"{known.low:.3f} to {known.high:.3f}", str(known.n_queries))
        )
        rows.append((choice.context, choice.candidate, str(choice.n), *figures))
    yield ""
    yield "Policy"
    yield from aligned(rows)


@contextmanager
def _access(arguments: argparse.Namespace) -> Iterator[tuple[LiveSettings, Access, str | None]]:
    """Give settings and key; the local model serves for as long as the block lasts."""
    given = {
        "concurrency": arguments.concurrency,
        "max_usd": arguments.max_usd,
        "requests_per_minute": arguments.rpm,
        "tokens_per_minute": arguments.tpm,
    }
    if arguments.price is not None:
        given |= {"usd_per_million_prompt": arguments.price[0], "usd_per_million_completion": arguments.price[1]}
    try:
        if not arguments.local:
            settings = LiveSettings(**given, api_base=arguments.api_base, api_key_env=arguments.api_key_env)
            yield settings, Access(is_trusted=True), arguments.model
            return
        from iapo_core.environments.local_model import GGUF, fetch_model, serve

        if arguments.api_base or arguments.model:
            raise LiveError("--local brings its own model and address; leave --model and --api-base out.")
        free = {"usd_per_million_prompt": 0.0, "usd_per_million_completion": 0.0}
        slots = min(arguments.concurrency, SLOTS)
        with serve(fetch_model(data_dir() / "models"), slots=slots) as served:
            where = {"api_base": served.base_url, "api_key_env": KEY_SLOT, "identity": f"local {GGUF}"}
            settings = LiveSettings(**{**given, **free, **where, "concurrency": slots})
            yield settings, Access({KEY_SLOT: served.api_key}, is_trusted=True), f"openai/{served.model}"
    except ValidationError as error:
        first = error.errors()[0]
        raise LiveError(
            f"{' '.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}; correct it, nothing was bought."
        ) from error
