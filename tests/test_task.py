"""What a task says about its candidates, its turns and its costs."""

import json
import math

import pytest

from iapo_core.errors import TaskError
from iapo_core.task_file import parse_task

BASE = {
    "schema": 1,
    "id": "tiny",
    "title": "Tiny",
    "origin": "live",
    "strategy": "majority_vote",
    "n_max": 2,
    "objectives": [{"id": "right", "scorer": "exact"}],
    "contexts": [{"id": "c", "weights": {"right": 1}}],
    "decoding": [{"id": "cold", "model": "openai/tiny"}, {"id": "hot", "model": "openai/tiny", "system": "Be brief."}],
    "prompts": [
        {"id": "plain", "template": "{q}"},
        {"id": "role", "messages": [{"role": "system", "content": "You {q}."}, {"role": "user", "content": "Go"}]},
    ],
    "queries": [{"id": str(i), "fields": {"q": f"ask {i}"}, "gold": "a"} for i in range(2)],
}


def task(**changes):
    return parse_task(json.dumps({**BASE, **changes}))


def test_candidates_are_prompts_times_configs_without_those_switched_off():
    assert [(p.id, d.id) for p, d in task().candidates] == [
        ("plain", "cold"),
        ("plain", "hot"),
        ("role", "cold"),
        ("role", "hot"),
    ]
    fewer = task(excluded=[{"prompt": "plain", "decoding": "hot"}])
    assert [(p.id, d.id) for p, d in fewer.candidates] == [("plain", "cold"), ("role", "cold"), ("role", "hot")]


def test_what_is_switched_off_must_exist_and_leave_something():
    with pytest.raises(
        TaskError, match=r"excluded row 1 names the decoding 'warm', which this task does not have; remove the row"
    ):
        task(excluded=[{"prompt": "plain", "decoding": "warm"}])
    everything = [{"prompt": p, "decoding": d} for p in ("plain", "role") for d in ("cold", "hot")]
    with pytest.raises(TaskError, match="every candidate is switched off"):
        task(excluded=everything)


def test_a_config_speaks_before_the_prompt():
    made = task()
    hot, (plain, role) = made.decoding[1], made.prompts
    assert hot.messages(plain, {"q": "{x}"}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{x}"},
    ]
    assert hot.messages(role, {"q": "sing"})[0] == {"role": "system", "content": "Be brief.\n\nYou sing."}
    assert made.decoding[0].messages(role, {"q": "sing"}) == role.render({"q": "sing"})


def test_cost_mixes_tokens_dollars_and_seconds():
    cost = task(cost={"per_prompt_token": 1, "per_completion_token": 2, "per_usd": 1000, "per_second": 0.5}).cost
    assert cost.cost(prompt_tokens=3, completion_tokens=5, usd=0.01, seconds=4) == pytest.approx(3 + 10 + 10 + 2)
    assert task().cost.cost(prompt_tokens=1, completion_tokens=1000, usd=math.nan, seconds=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"usd_per_million_prompt": 1}, r"decoding row 1: a price has two parts"),
        (
            {"api_base": "http://example.org/v1"},
            r"decoding row 1 api_base: the base URL of another machine must begin with https",
        ),
        ({"api_key_env": "sk-123"}, r"decoding row 1 api_key_env: "),
    ],
)
def test_where_a_model_is_reached_is_checked(change, words):
    with pytest.raises(TaskError, match=words):
        task(decoding=[{"id": "cold", "model": "openai/tiny", **change}])


def test_doubled_braces_are_braces_and_values_are_never_expanded_again():
    prompt = task(prompts=[{"id": "p", "template": r'\boxed{{answer}} {"a": 1} {q} { q } {0}'}]).prompts[0]
    assert prompt.placeholders == {"q"}
    (turn,) = prompt.render({"q": "{q}{{q}}"})
    assert turn["content"] == r'\boxed{answer} {"a": 1} {q}{{q}} { q } {0}'
