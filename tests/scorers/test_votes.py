"""Answers that mean the same vote together, in recordings, live judging and deployed policies; gold answers meet them."""

import numpy as np
import pytest

from iapo_core.environments.recorded import COLUMNS, RecordedEnvironment
from iapo_core.errors import PolicyError, RecordingError, TaskError
from iapo_core.policy import Choice, Policy
from iapo_core.scorers.golds import gold_votes
from iapo_core.task import Objective, Task
from tests.scorers.making import query, scorer

CASES = [
    ("number", {}, ["1/2", "0.5", "It is .50"], "5e-1"),
    ("normalised", {}, ["B.", "b", "(B)"], "b"),
    ("choice", {"choices": ["A", "B"]}, ["B.", "b", "(b)"], "b"),
    ("exact", {}, ["Yes", "yes", " YES "], "yes"),
    ("regex", {"pattern": r"= *(\S+)"}, ["x = Seven", "= seven", "=SEVEN"], "Seven"),
    ("json_field", {}, ['{"answer": 2}', '{"answer": "2.0"}', '{"answer": 2.00}'], "2"),
]


def voting_task(name, params, gold, strategy="majority_vote", origin="recorded"):
    return Task.model_validate(
        {
            "schema": 1, "id": "votes", "title": "Votes", "origin": origin, "strategy": strategy, "n_max": 3,
            "objectives": [{"id": "right", "scorer": name, "params": params}],
            "contexts": [{"id": "plain", "weights": {"right": 1}}],
            "decoding": [{"id": "d", "model": "openai/tiny"}],
            "prompts": [{"id": "p", "template": "{q}?"}],
            "queries": [{"id": f"q{i}", "fields": {"q": str(i)}, "gold": gold} for i in range(2)],
            "recording": "completions.parquet",
        }
    )  # fmt: skip


def recorded(task, texts):
    rows = [("p", "d", q.id, s, text, "stop", 1, 1, 0.1, None) for q in task.queries for s, text in enumerate(texts)]
    return RecordedEnvironment(task, {c: [row[i] for row in rows] for i, c in enumerate(COLUMNS)})


@pytest.mark.parametrize(("name", "params", "texts", "gold"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_equivalent_answers_are_one_vote_and_the_gold_one(name, params, texts, gold):
    judge = scorer(name, **params)
    votes = {judge.extract(text, query(gold)).casefold() for text in texts}
    task = voting_task(name, params, gold)
    assert votes == set(gold_votes(task, judge))
    assert all(judge.score(text, query(gold)) == 1 for text in texts)
    environment = recorded(task, texts)
    np.testing.assert_array_equal(environment.reward_curves(np.arange(2), np.ones((1, 1))), 1.0)
    assert len({environment.texts(0, 0)[i].answer for i in range(3)}) == 1


@pytest.mark.parametrize(("name", "params", "texts", "gold"), CASES[:4], ids=lambda case: case if isinstance(case, str) else "")
def test_a_deployed_policy_counts_them_together(name, params, texts, gold):
    policy = Policy(
        task="votes", is_simulated=False, strategy="majority_vote", objectives=(Objective(id="right", scorer=name, params=params),),
        choices=(Choice(context="plain", weights={"right": 1.0}, cost_weight=0.0, candidate="p", n=5),),
    )  # fmt: skip
    other = {"number": "7", "choice": "A"}.get(name, "other")
    voted = policy.aggregate("plain", [other, other, *texts], query())
    assert voted.casefold() == scorer(name, **params).canonical(gold).casefold()


def test_a_gold_answer_that_nobody_can_give_is_refused_before_anything_is_bought():
    task = voting_task("number", {}, "seven")
    with pytest.raises(TaskError, match="gold answer 'seven' of query 'q0' is none that the scorer 'number' can read"):
        recorded(task, ["1", "2", "3"])
    with pytest.raises(TaskError, match="query 'q0' has no gold answer, which a majority vote is judged by"):
        recorded(voting_task("number", {}, None), ["1", "2", "3"])


def test_a_judge_is_refused_where_no_model_is_asked():
    params = {"model": "openai/judge"}
    task = voting_task("judge", params, "x", strategy="best_of_n")
    with pytest.raises(
        RecordingError, match="'right' asks a model for verdicts, and a recording stores none; make the task live"
    ):
        recorded(task, ["1", "2", "3"])
    policy = Policy(
        task="votes", is_simulated=False, strategy="best_of_n", objectives=task.objectives,
        choices=(Choice(context="plain", weights={"right": 1.0}, cost_weight=0.0, candidate="p", n=2),),
    )  # fmt: skip
    with pytest.raises(PolicyError, match="'right' is judged by a model, which nothing asks here"):
        policy.aggregate("plain", ["a", "b"], query())
