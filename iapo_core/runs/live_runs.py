"""Opening a live task for a claimed run: its environment, its ledger, and the share of the budget for the held-out check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from iapo_core.environment import Environment
from iapo_core.environments.endpoints import called_configs, endpoint_of
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.llm import LlmEnvironment
from iapo_core.errors import RunError
from iapo_core.policy import Policy
from iapo_core.runs import local_server
from iapo_core.runs.catalogue import task_entry
from iapo_core.runs.config import RunConfig
from iapo_core.runs.heldout import check
from iapo_core.runs.ledger import Ledger
from iapo_core.runs.rows import Claim
from iapo_core.runs.store import Store
from iapo_core.task_file import read_task


@dataclass(frozen=True)
class Access:
    """What the starter of a run holds in memory: never stored.

    Attributes:
        keys: Keys by the name of their slot, the environment variable that would hold them; they come before it.
        is_trusted: True where who runs this process chose models and the run's base URL.
    """

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_trusted: bool = False


def is_live(task_id: str) -> bool:
    """Return whether the task's completions are bought."""
    return task_entry(task_id).origin == "live"


def open_live(store: Store, claim: Claim, config: RunConfig, access: Access, is_leaving: Callable[[], bool]) -> LlmEnvironment:
    """Open the task of a claimed run.

    Raises:
        RunError: If the run does not say how completions are bought.
        IapoError: If the task, the key or the address cannot be used; nothing was bought then.
    """
    settings: LiveSettings | None = config.live
    if settings is None:
        raise RunError(f"Task {config.task!r} buys its completions, and this run does not say how; start a new one.")
    task = read_task(task_entry(config.task).path)
    configs = called_configs(task)
    n_own = len(task.decoding)
    ledger = Ledger(store, claim, settings, cap=config.budget, n_judges=len(configs) - n_own)
    endpoints = [endpoint_of(one, settings) for one in configs]
    keys = dict(access.keys)
    for d in {*(task.decoding.index(decoding) for _, decoding in task.candidates), *range(n_own, len(configs))}:
        if local_server.is_local(configs[d].model):
            endpoints[d], own = local_server.endpoint()
            keys |= own
    return LlmEnvironment(
        task,
        settings,
        ledger,
        seed=config.seed,
        keys=keys,
        endpoints=endpoints,
        is_leaving=is_leaving,
        is_trusted=access.is_trusted,
    )


def checked(environment: Environment, config: RunConfig, policy: Policy, spent: int) -> Policy:
    """Return the policy with held-out estimates from what the rounds left of the budget, at least the share set aside."""
    return check(environment, policy, max(config.budget - spent, 0))[0]
