"""Bad task files: each is refused with what is wrong, where, and what to do."""

import copy
import json

import pytest

from iapo_core.errors import TaskError
from iapo_core.task import MAX_PROMPT_CHARACTERS
from iapo_core.task_file import MAX_TASK_BYTES, parse_task, read_task

GOOD = {
    "schema": 1,
    "id": "tiny",
    "title": "Tiny",
    "origin": "recorded",
    "strategy": "majority_vote",
    "n_max": 4,
    "objectives": [{"id": "correct", "scorer": "choice", "params": {"choices": ["yes", "no"]}}],
    "contexts": [{"id": "plain", "weights": {"correct": 1}}],
    "decoding": [{"id": "d", "model": "openai/tiny"}],
    "prompts": [{"id": "p1", "template": "{q}?"}, {"id": "p2", "template": "Answer: {q}"}],
    "queries": [{"id": "q1", "fields": {"q": "1"}, "gold": "yes"}, {"id": "q2", "fields": {"q": "2"}, "gold": "no"}],
}
NOTHING = object()


def changed(*places) -> str:
    """GOOD as JSON, with the values at these dotted places replaced, or removed where the value is NOTHING."""
    data = copy.deepcopy(GOOD)
    for place, value in places:
        *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        target = data
        for part in path:
            target = target[part]
        if value is NOTHING:
            del target[last]
        else:
            target[last] = value
    return json.dumps(data)


CHANGES = {
    "missing field": ([("title", NOTHING)], r"^task: title: this is missing; add it\.$"),
    "missing field in a row": ([("queries.1.fields", NOTHING)], r"queries row 2 fields: this is missing; add it"),
    "unknown field": ([("budget", 3)], r"budget: a task has no field of this name; correct the name or remove it"),
    "unknown field in a row": ([("prompts.1.temperature", 3)], r"prompts row 2 temperature: a task has no field of this name"),
    "schema of the future": ([("schema", 2)], r"schema: Input should be 1 \(got 2\)"),
    "duplicate prompt": ([("prompts.1.id", "p1")], r"prompts: the id 'p1' stands in rows 1 and 2; give each row its own id"),
    "duplicate query": ([("queries.1.id", "q1")], r"queries: the id 'q1' stands in rows 1 and 2"),
    "blank id": ([("prompts.0.id", "")], r"prompts row 1 id: begin with a letter or digit and go on with .* \(got ''\)"),
    "id that is a path": ([("id", "../../etc/passwd")], r"id: begin with a letter or digit .* \(got '\.\./\.\./etc/passwd'\)"),
    "unknown placeholder": (
        [("prompts.1.template", "{question}")],
        r"prompts row 2 \('p2'\) asks for 'question', which not every query has; fields that every query has: 'q'",
    ),
    "placeholder that one query lacks": ([("queries.1.fields", {"r": "2"})], r"asks for 'q', which not every query has"),
    "likely placeholder": ([("prompts.1.template", "{qq}")], r"every query has: 'q'; did you mean \{q\}\?"),
    "unlikely placeholder": ([("prompts.1.template", "{answer}")], r"; write \{\{answer\}\} for the braces themselves"),
    "several things at once": (
        [("prompts.0.template", "{a}"), ("prompts.1.template", "{b}"), ("contexts.0.weights", {"beauty": 1})],
        r"contexts row 1 .*\.\ntask: prompts row 1 .*\.\ntask: prompts row 2 ",
    ),
    "a key where its variable's name belongs": (
        [("decoding.0.api_key_env", "sk-123")],
        r"decoding row 1 api_key_env: give the name of an environment variable, such as MY_KEY, never the key itself\.$",
    ),
    "empty prompt": (
        [("prompts.0.template", "")],
        r"prompts row 1 messages row 1 content: this is too short; write at least 1 character",
    ),
    "blank prompt": ([("prompts.0.template", " \n")], r"prompts row 1 .*: a prompt is blank; write its text or remove it"),
    "prompt of a million characters": (
        [("prompts.0.template", "a" * 10**6)],
        rf"prompts row 1 .*: String should have at most {MAX_PROMPT_CHARACTERS} characters \(got 'a+… of 1,000,002 characters\)",
    ),
    "prompt that ends with the assistant": (
        [("prompts.0", {"id": "p1", "messages": [{"role": "assistant", "content": "{q}"}]})],
        r"prompts row 1 \('p1'\) must end with a user turn",
    ),
    "unknown role": (
        [("prompts.0", {"id": "p1", "messages": [{"role": "tool", "content": "{q}"}]})],
        r"prompts row 1 messages row 1 role: Input should be 'system', 'user' or 'assistant' \(got 'tool'\)",
    ),
    "no prompts": ([("prompts", [])], r"^task: prompts: there is none; add at least one\.$"),
    "no objectives": (
        [("objectives", []), ("contexts", [{"id": "c", "weights": {}}])],
        r"^task: objectives: there is none; add at least one\.$",
    ),
    "one query": ([("queries", GOOD["queries"][:1])], r"queries: there is 1; give at least 2"),
    "n_max zero": ([("n_max", 0)], r"n_max: Input should be greater than or equal to 1 \(got 0\)"),
    "n_max too large": ([("n_max", 257)], r"n_max: Input should be less than or equal to 256 \(got 257\)"),
    "n_max a text": ([("n_max", "many")], r"n_max: Input should be a valid integer.* \(got 'many'\)"),
    "temperature negative": ([("decoding.0.temperature", -1)], r"decoding row 1 temperature: .* \(got -1\)"),
    "weight negative": ([("contexts.0.weights.correct", -1)], r"contexts row 1 weights correct: .*greater than or equal to 0"),
    "weight huge": ([("contexts.0.weights.correct", 1e300)], r"contexts row 1 weights correct: .*less than or equal to"),
    "unknown context objective": (
        [("contexts.0.weights", {"beauty": 1})],
        r"contexts row 1 \('plain'\) weighs 'beauty', which is no objective; objectives are 'correct'",
    ),
    "range upside down": (
        [("objectives.0.range", [1, 0])],
        r"objectives row 1 range: the range must be two finite numbers, low before",
    ),
    "range of three": ([("objectives.0.range", [0, 1, 2])], r"objectives row 1 range: Tuple should have at most 2 items"),
    "unknown strategy": (
        [("strategy", "luck")],
        r"strategy: Input should be 'majority_vote', 'best_of_n' or 'mixed' \(got 'luck'\)",
    ),
    "lone surrogate": ([("title", "\ud800")], r"task: .*half of a surrogate pair.*; "),
    "lone surrogate in a query": ([("queries.0.fields.q", "a\udfff")], r"half of a surrogate pair"),
}


@pytest.mark.parametrize(("places", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_task_is_refused(places, words):
    with pytest.raises(TaskError, match=words):
        parse_task(changed(*places))


TEXTS = {
    "empty": ("", r"^task: this is not valid JSON"),
    "cut off": (json.dumps(GOOD)[:-9], r"this is not valid JSON .*; correct it or export the task again\.$"),
    "list": ("[]", r"a task is one JSON object, not a list"),
    "number": ("7", r"a task is one JSON object, not a int"),
    "null": ("null", r"a task is one JSON object, not a NoneType"),
    "NaN": (changed(("contexts.0.cost_weight", float("nan"))), r"NaN is not a number that JSON knows"),
    "Infinity": (changed(("contexts.0.cost_weight", float("inf"))), r"Infinity is not a number that JSON knows"),
    "1e999": (changed(("contexts.0.cost_weight", 42)).replace("42", "1e999"), r"contexts row 1 cost_weight: .*finite number"),
    "deep": ("[" * 200_000, r"this is not valid JSON"),
    "deep inside": ('{"schema":' + '{"a":' * 100_000 + "1" + "}" * 100_001, r"this is not valid JSON"),
    "key twice": ('{"schema": 1, "schema": 1}', r"the key 'schema' stands twice in one object"),
    "integer of 4,301 digits": (changed(("n_max", 42)).replace("42", "9" * 4301), r"this is not valid JSON"),
    "integer of 4,300 digits": (changed(("n_max", 42)).replace("42", "9" * 4300), r"n_max: .*"),
    "not UTF-8": (json.dumps(GOOD).encode().replace(b"Tiny", b"\xff\xfe\xfa"), r"this is not UTF-8 text .*; save it as UTF-8"),
    "too large": (b" " * (MAX_TASK_BYTES + 1), r"10,485,761 bytes are more than the 10,485,760 that a task may have; split it"),
    "too large in bytes": ("ä" * (MAX_TASK_BYTES // 2 + 1), r"bytes are more than the 10,485,760"),
}


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS.keys())
def test_a_text_that_is_no_task_is_refused(text, words):
    with pytest.raises(TaskError, match=words):
        parse_task(text)


def test_what_is_shown_of_a_value_stays_short():
    with pytest.raises(TaskError, match="n_max") as caught:
        parse_task(changed(("n_max", 42)).replace("42", "9" * 4300))
    assert len(str(caught.value)) < 300


def test_many_problems_are_listed_up_to_a_point():
    queries = [{"id": f"q{i}", "fields": {}} for i in range(500)]
    queries += [{"id": f"good{i}", "fields": {"q": "1"}} for i in range(2)]
    with pytest.raises(TaskError, match=r"queries row 1 fields: .*\n(.*\n)+task: and 480 more problems") as caught:
        parse_task(changed(("queries", queries)))
    assert str(caught.value).count("\n") == 20


def test_a_byte_order_mark_is_no_problem():
    assert parse_task(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).id == "tiny"


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(TaskError, match=r"task\.json: cannot be read \(No such file or directory\); give a task folder"):
        read_task(tmp_path)
    with pytest.raises(TaskError, match=r"nowhere: cannot be read"):
        read_task(tmp_path / "nowhere")


def test_the_file_is_named(tmp_path):
    (tmp_path / "task.json").write_text(changed(("n_max", 0)))
    with pytest.raises(TaskError, match=r"task\.json: n_max: "):
        read_task(tmp_path)


def test_the_good_one_is_good():
    assert parse_task(changed()).id == "tiny"
