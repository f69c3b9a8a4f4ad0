"""The editor of objectives, strategy and cost: what the user does ends up in the draft, what is wrong is said in sentences."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from iapo_core.scorers.checks import objective_problems
from iapo_core.task import CostModel, Task


def draft(**changes):
    return {
        "schema": 1, "id": "mine", "title": "Mine", "origin": "live", "strategy": "majority_vote", "n_max": 4,
        "objectives": [{"id": "right", "title": "Right", "scorer": "exact"}],
        "contexts": [{"id": "plain", "weights": {"right": 1.0}}],
        "decoding": [{"id": "d", "model": "openai/ok"}],
        "prompts": [{"id": "p", "template": "{q}?"}],
        "queries": [{"id": f"q{i}", "fields": {"q": str(i)}, "gold": str(i)} for i in range(3)],
        **changes,
    }  # fmt: skip


def page():
    import streamlit as st

    from pages.shell import objectives

    objectives.edit(st.session_state["draft"])


@pytest.fixture
def editor():
    def start(**changes):
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["draft"] = draft(**changes)
        return settled(app.run())

    return start


def settled(app):
    assert not app.exception
    return app


def labelled(elements, label):
    return next(element for element in elements if element.label == label)


def warnings(app):
    return " ".join(warning.value.replace("\\", "") for warning in app.warning)


def test_an_untouched_draft_says_the_same_and_is_a_task(editor):
    app = editor()
    after = app.session_state["draft"]
    assert after["objectives"] == [{"id": "right", "title": "Right", "scorer": "exact", "params": {}, "range": [0.0, 1.0]}]
    assert not app.warning
    assert Task.model_validate(after) == Task.model_validate(draft())


def test_an_empty_draft_is_completed():
    app = AppTest.from_function(page, default_timeout=60)
    app.session_state["draft"] = {}
    app = settled(app.run())
    after = app.session_state["draft"]
    assert (after["objectives"][0]["scorer"], after["strategy"]) == ("exact", "majority_vote")
    assert CostModel.model_validate(after["cost"]) == CostModel()


def test_a_scorer_is_chosen_and_its_params_are_set(editor):
    app = editor()
    settled(labelled(app.selectbox, "Scorer").set_value("number").run())
    assert "Completions vote on this one" in " ".join(caption.value for caption in app.caption)
    labelled(app.number_input, "Tolerance").set_value(0.5)
    labelled(app.selectbox, "Which").set_value("first")
    settled(labelled(app.number_input, "Best").set_value(2.0).run())
    (objective,) = app.session_state["draft"]["objectives"]
    assert objective == {"id": "right", "title": "Right", "scorer": "number", "params": {"which": "first", "tolerance": 0.5},
                         "range": [0.0, 2.0]}  # fmt: skip
    Task.model_validate(app.session_state["draft"])


def test_lists_texts_and_json_are_typed_as_people_write_them(editor):
    app = editor(strategy="best_of_n")
    settled(labelled(app.selectbox, "Scorer").set_value("contains").run())
    settled(labelled(app.text_area, "Phrases, one a line").set_value("thank you\n\n bye ").run())
    assert app.session_state["draft"]["objectives"][0]["params"] == {"phrases": ["thank you", "bye"]}
    settled(labelled(app.selectbox, "Scorer").set_value("json_schema").run())
    assert "needs `schema`" in warnings(app)
    settled(labelled(app.text_area, "Schema, as JSON").set_value("{").run())
    assert any("not JSON yet" in error.value for error in app.error)
    settled(labelled(app.text_area, "Schema, as JSON").set_value('{"type": "object"}').run())
    assert app.session_state["draft"]["objectives"][0]["params"] == {"schema": {"type": "object"}}
    assert not app.warning


def test_objectives_are_added_put_first_and_removed(editor):
    app = editor(strategy="mixed")
    settled(labelled(app.selectbox, "Another objective").set_value("brevity").run())
    settled(labelled(app.button, "Add").click().run())
    settled(labelled(app.selectbox, "Another objective").set_value("brevity").run())
    settled(labelled(app.button, "Add").click().run())
    now = app.session_state["draft"]
    assert [one["id"] for one in now["objectives"]] == ["right", "brevity", "brevity-2"]
    assert not app.warning
    notes = [caption.value for caption in app.caption if "No context weighs it yet" in caption.value]
    assert len(notes) == 2  # the two that are new
    settled(labelled(app.button, "Vote on this").click().run())
    assert [one["id"] for one in app.session_state["draft"]["objectives"]] == ["brevity", "right", "brevity-2"]
    assert "reads no answer to vote for; put one first that does" in warnings(app)
    removing = [button for button in app.button if button.label == "Remove"]
    settled(removing[1].click().run())
    now = app.session_state["draft"]
    assert [one["id"] for one in now["objectives"]] == ["brevity", "brevity-2"]
    assert now["contexts"] == [{"id": "plain", "weights": {"brevity": 1.0}}]  # nothing weighs what is gone
    assert labelled(app.text_input, "What counts").value == "brevity"


def test_fields_follow_a_draft_that_was_changed_elsewhere(editor):
    app = editor()
    settled(labelled(app.selectbox, "Scorer").set_value("number").run())
    app.session_state["draft"] = draft(id="other", objectives=[{"id": "x", "title": "Else", "scorer": "keywords"}])
    app = settled(app.run())
    assert labelled(app.selectbox, "Scorer").value == "keywords"
    assert app.session_state["draft"]["objectives"][0]["title"] == "Else"


@pytest.mark.parametrize(
    ("preset", "wanted"),
    [
        ("Tokens read and written", CostModel(per_prompt_token=0.0001)),
        ("Dollars", CostModel(unit="dollars", per_completion_token=0, per_usd=1)),
        ("Seconds", CostModel(unit="seconds", per_completion_token=0, per_second=1)),
    ],
)
def test_cost_is_chosen_in_words(editor, preset, wanted):
    app = editor()
    settled(labelled(app.selectbox, "What a completion costs").set_value(preset).run())
    assert CostModel.model_validate(app.session_state["draft"]["cost"]) == wanted


def test_cost_can_be_a_mix(editor):
    app = editor(cost={"unit": "points", "per_completion_token": 0.01, "per_second": 2.0})
    assert labelled(app.selectbox, "What a completion costs").value == "A mix of my own"
    settled(labelled(app.number_input, "Per dollar").set_value(3.0).run())
    wanted = CostModel(unit="points", per_completion_token=0.01, per_second=2, per_usd=3)
    assert CostModel.model_validate(app.session_state["draft"]["cost"]) == wanted


@pytest.mark.parametrize(
    "damage",
    [
        {"objectives": "none"},
        {"objectives": [7]},
        {"objectives": [{"id": "x", "scorer": "gone", "params": {"a": 1}}]},
        {"objectives": [{"scorer": "number", "params": {"tolerance": 1e300, "which": 3}, "range": ["a"]}]},
        {"objectives": [{"id": "x", "scorer": "number", "params": "no", "range": [1e9, float("inf")]}]},
        {"objectives": [{"id": "![x](http://evil.invalid/a.png)", "scorer": "exact"}]},
        {"strategy": "coin", "cost": {"unit": 3}},
        {"cost": None, "queries": None, "contexts": None},
        {"queries": ["x"], "contexts": ["y"]},
    ],
)
def test_a_damaged_draft_is_drawn_and_spoken_of(editor, damage):
    app = editor(**damage)
    json.dumps(app.session_state["draft"]["objectives"])
    assert labelled(app.button, "Add") is not None


PROBLEMS = [
    ({"objectives": []}, "There is no objective; add one"),
    ({"objectives": [{"id": "a", "scorer": "exact"}, {"id": "a", "scorer": "exact"}]}, "Two objectives have the id 'a'"),
    ({"objectives": [{"id": "a", "scorer": "regex", "params": {"pattern": "(?=x)"}}]}, "looks ahead or behind"),
    ({"objectives": [{"id": "", "scorer": "exact"}]}, "Objective 1: id: begin with a letter or digit"),
    ({"objectives": [{"id": "a", "scorer": "brevity"}]}, "its scorer 'brevity' reads no answer to vote for"),
    ({"objectives": [{"id": "a", "scorer": "judge", "params": {"model": "m"}}]}, "its scorer 'judge' reads no answer"),
    ({"objectives": [{"id": "a", "scorer": "judge", "params": {"model": "m"}}], "strategy": "best_of_n", "origin": "recorded"},
     "a recording stores none; make the task live"),
    ({"objectives": [{"id": "a", "scorer": "number"}], "queries": [{"id": "q", "gold": "seven"}]}, "'seven' of query 'q' is none"),
    ({"queries": [{"id": "q"}]}, "Query 'q' has no single gold answer"),
    ({"queries": [{"id": "q"}], "strategy": "best_of_n"}, "compares with the gold answer, which query 'q' does not have"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), PROBLEMS, ids=[sentence[:30] for _, sentence in PROBLEMS])
def test_what_is_wrong_is_said(changes, sentence):
    assert any(sentence in problem for problem in objective_problems(draft(**changes)))


def test_nothing_is_said_of_a_good_draft():
    assert objective_problems(draft()) == []
    judged = [{"id": "a", "scorer": "judge", "params": {"model": "openai/m"}}]
    assert objective_problems(draft(objectives=judged, strategy="best_of_n")) == []


def test_a_saved_task_says_what_its_scorers_do_and_what_counts_as_cost(open_page, store, tmp_path):
    path = tmp_path / "samples" / "tiny-vote" / "task.json"
    task = json.loads(path.read_text())
    task["cost"] = {"unit": "points", "per_completion_token": 0.0, "per_second": 2.0, "per_prompt_token": 0.01}
    path.write_text(json.dumps(task))
    app = settled(open_page("task", task="tiny-vote", task_view="Objectives and cost"))
    said = " ".join(caption.value for caption in app.caption).replace("\\", "")
    assert "Counted in points: 0.01 per prompt token, 2 per second." in said
    assert "votes for the first label that stands in the text" in said


def test_an_objective_that_replaces_the_only_one_is_weighed(editor):
    app = editor()
    settled(labelled(app.button, "Remove").click().run())
    assert app.session_state["draft"]["objectives"] == []
    settled(labelled(app.selectbox, "Another objective").set_value("normalised").run())
    settled(labelled(app.button, "Add").click().run())
    after = app.session_state["draft"]
    assert after["contexts"] == [{"id": "plain", "weights": {"normalised": 1.0}}]
    assert Task.model_validate(after)
