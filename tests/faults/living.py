"""A small live task, and a run of it that buys from the fault server."""

import json

from iapo_core.environments.live import LiveSettings
from iapo_core.environments.llm import LlmEnvironment
from iapo_core.runs.catalogue import keep_task, task_fingerprint
from iapo_core.runs.config import RunConfig
from iapo_core.runs.ledger import Ledger
from iapo_core.task_file import parse_task

SLOT = "IAPO_TEST_LIVE_KEY"
CANARY = "sk-CANARY-0123456789abcdef"


def task_json(model="openai/ok", n_prompts=3, n_queries=10, n_max=4, **changes):
    return json.dumps(
        {
            "schema": 1,
            "id": "little-live",
            "title": "A little live task",
            "origin": "live",
            "strategy": "majority_vote",
            "n_max": n_max,
            "objectives": [{"id": "right", "scorer": "exact"}],
            "contexts": [{"id": "plain", "weights": {"right": 1}}, {"id": "thrifty", "weights": {"right": 1}, "cost_weight": 5}],
            "decoding": [{"id": "d", "model": model, "max_tokens": 8}],
            "prompts": [{"id": f"p{i}", "template": f"Prompt {i}: is {{q}} even?"} for i in range(n_prompts)],
            "queries": [
                {"id": f"q{i}", "fields": {"q": str(i)}, "gold": "yes" if i % 2 == 0 else "no"} for i in range(n_queries)
            ],
            **changes,
        }
    )


def clever(messages, nth):
    """Prompt 2 is always right; prompt 1 often, by a rule that depends on the request alone; prompt 0 says yes."""
    words = messages[-1]["content"].split()
    which, number = int(words[1][0]), int(words[3])
    right = "yes" if number % 2 == 0 else "no"
    return right if which == 2 or (which == 1 and number % 3) else "yes"


def live_task(**changes):
    return parse_task(task_json(**changes))


def settings(server, **changes):
    where = {"api_base": server.base, "api_key_env": SLOT}
    return LiveSettings(**{**where, "concurrency": 4, "deadline_s": 20.0, "n_tries": 3, **changes})


def bare_claim(store, task, budget=100):
    """A run that is claimed, so that its ledger can be opened."""
    config = RunConfig(
        task=task.id,
        task_fingerprint=task.fingerprint,
        budget=budget,
        n_max=task.n_max,
        contexts=task.contexts,
    )
    return store.claim("tester", 60.0, store.create_run(config))


def buyer(
    store,
    server,
    *,
    model="openai/ok",
    cap=100,
    claim=None,
    task=None,
    is_leaving=lambda: False,
    key=CANARY,
    keys=None,
    is_trusted=False,
    **changes,
):
    """An environment of the little task with a ledger of its own; returns both and the claim."""
    task = task or live_task(model=model)
    claim = claim or bare_claim(store, task, cap)
    chosen = settings(server, **{"api_key_env": SLOT if key else None, **changes})
    ledger = Ledger(store, claim, chosen, cap=cap)
    keys = keys or ({} if key is None else {SLOT: key})
    return LlmEnvironment(task, chosen, ledger, keys=keys, is_leaving=is_leaving, is_trusted=is_trusted), ledger, claim


def live_config(server, *, budget=120, **changes):
    """The little task in the catalogue, and the config of a run of it."""
    task_id = keep_task(live_task())
    return RunConfig(
        task=task_id,
        task_fingerprint=task_fingerprint(task_id),
        budget=budget,
        n_max=4,
        contexts=live_task().contexts,
        live=settings(server, **{"deadline_s": 20.0, **changes}),
    )
