"""What a run has drawn, opened again for those who look at it: from the recording, or from what a live run has paid for."""

from __future__ import annotations

from collections.abc import Sequence

from iapo_core.environments import RecordedEnvironment, TableEnvironment
from iapo_core.environments.stored import StoredEnvironment
from iapo_core.errors import RunError
from iapo_core.events import Event, Finished
from iapo_core.observations import observe
from iapo_core.runs.answers import RunAnswers
from iapo_core.runs.catalogue import open_environment, task_entry, task_fingerprint
from iapo_core.runs.live_runs import checked
from iapo_core.runs.rows import RunRow
from iapo_core.runs.store import Store
from iapo_core.task_file import read_task


def evidence_environment(
    store: Store, run: RunRow, events: Sequence[Event]
) -> TableEnvironment | RecordedEnvironment | StoredEnvironment:
    """Return the environment of a run as it stood after these events; nothing is bought.

    A live run's pulls are served again from the store, and its held-out check where it has finished, so that its environment
    holds what the run has seen and nothing else.

    Raises:
        RunError: If a live run's task has changed since.
        IapoError: If the task cannot be opened, or a completion is missing.
    """
    config = run.config
    if config.live is None:
        return open_environment(config.task, config.seed)
    if task_fingerprint(config.task) != config.task_fingerprint:
        raise RunError(f"Task {config.task!r} has changed since this run was started, so its completions cannot be judged again.")
    answers = RunAnswers(store, run.id)
    environment = StoredEnvironment(read_task(task_entry(config.task).path), config.live, answers, seed=config.seed)
    drawn = observe(environment, n_events=len(events), **config.arguments(environment)).environment
    if run.state == "finished" and events and isinstance(last := events[-1], Finished):
        checked(environment, config, last.policy, last.spent)
    if isinstance(drawn, StoredEnvironment):
        environment.hold(drawn)
    return environment
