"""What each scorer says of a text, with the reason beside it."""

import threading
import time

import pytest

from iapo_core.scorers.length import measured, reading_ease
from tests.scorers.making import query, scorer

COARSE = "".join(chr((ord(c) - 97 + 13) % 26 + 97) for c in "shpx")  # spelled by its rotation, as in the list itself
ADDRESS = {"type": "object", "required": ["name", "age"], "properties": {"name": {"type": "string", "pattern": "^[A-Z]"},
           "age": {"type": "integer", "minimum": 0}}}  # fmt: skip
TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": False}
TWICE = {"anyOf": [{"required": [name], "properties": {"a": {"$ref": "#"}}} for name in "yz"]}
DEFINED = {"$defs": {"whole": {"type": "integer"}}, "required": ["n"], "properties": {"n": {"$ref": "#/$defs/whole"}}}
TABLE = [
    # scorer, params, text, gold, score
    ("exact", {}, "  YES\n", "yes", 1),
    ("exact", {}, "yes.", "yes", 0),  # punctuation counts unless told otherwise
    ("exact", {"ignore_punctuation": True}, "yes.", "yes", 1),
    ("exact", {"ignore_case": False}, "Yes", "yes", 0),
    ("exact", {"ignore_space": False}, "new  york", "new york", 0),
    ("exact", {}, "", "yes", 0),
    ("exact", {}, "b", ("a", "b"), 1),  # any of several gold answers
    ("exact", {}, "b", None, 0),  # nothing to compare with
    ("normalised", {}, "The  (Cat)!", "a cat", 1),
    ("normalised", {}, "Theatre", "atre", 0),  # articles are words, not letters
    ("normalised", {"ignore_articles": False}, "the cat", "cat", 0),
    ("choice", {"choices": ["A", "B"]}, "B.", "b", 1),
    ("choice", {"choices": ["A", "B"]}, "(b) because", "B", 1),
    ("choice", {"choices": ["cat", "dog"]}, "Dogs, not cats", "dog", 1),  # the first one named, in the plural
    ("number", {}, "So 3 + 4 = 7.", "7", 1),  # the last number; the full stop is none of it
    ("number", {"which": "first"}, "So 3 + 4 = 7.", "3", 1),
    ("number", {}, "It costs $1,234.50 in all", "1234.5", 1),
    ("number", {"separators": "european"}, "1.234,50 €", "1234,5", 1),
    ("number", {}, "minus? −4 °C", "-4", 1),  # the typesetter's minus
    ("number", {}, "on page 3-5", "5", 1),  # a range has no negative end
    ("number", {}, "1/2", "0.5", 1),
    ("number", {}, ".5", "1/2", 1),
    ("number", {}, "5e-1", "0.5", 1),
    ("number", {}, "1/3", "0.333", 0),
    ("number", {"tolerance": 0.01}, "1/3", "0.333", 1),
    ("number", {"tolerance": 0.5}, "8", "7.4", 0),
    ("number", {}, "50 %", "50", 1),
    ("number", {"percent": "hundredth"}, "50 %", "0.5", 1),
    ("number", {}, "1/0", "1", 0),  # no number: nothing is divided by zero
    ("number", {}, "none", "1", 0),
    ("number", {}, "9" * 5_000, "9", 0),  # too long to be an answer
    ("regex", {"pattern": r"answer:\s*(\w+)"}, "Answer:  Paris!", "paris", 1),
    ("regex", {"pattern": r"answer:\s*(\w+)"}, "Paris", "paris", 0),
    ("regex", {"pattern": r"\d+", "group": 0, "which": "last"}, "1 then 2", "2", 1),
    ("regex", {"pattern": r"\d+", "group": 0}, "1 then 2", "2", 0),
    ("regex", {"pattern": r"^\w+$", "group": 0, "score": "found"}, "one", None, 1),
    ("regex", {"pattern": r"^\w+$", "group": 0, "score": "found"}, "one two", None, 0),
    ("regex", {"pattern": "A(x*)", "ignore_case": False}, "Axx", "xx", 1),
    ("regex", {"pattern": "A(x*)"}, "A", "", 0),  # an empty group is no answer
    ("json_schema", {"schema": ADDRESS}, 'Sure: {"name": "Ada", "age": 36} Done.', None, 1),
    ("json_schema", {"schema": ADDRESS}, '```json\n{"name": "Ada", "age": -1}\n```', None, 0),
    ("json_schema", {"schema": ADDRESS, "score": "share"}, '{"name": "Ada", "age": -1}', None, 0.5),
    ("json_schema", {"schema": ADDRESS, "score": "share"}, '{"name": "ada"}', None, 0),  # the pattern wants a capital
    ("json_schema", {"schema": ADDRESS}, '{"name": "Ada", "age": 36', None, 0),
    ("json_schema", {"schema": ADDRESS}, '{"a": 1} {"name": "Ada", "age": 36}', None, 1),  # the best of several
    ("json_schema", {"schema": {"type": "object", "properties": {"x": {"type": "number"}}}}, '{"x": NaN}', None, 0),
    ("json_schema", {"schema": TREE}, '{"left": {"left": {}}, "right": {}}', None, 1),  # a schema may refer to itself
    ("json_schema", {"schema": TWICE}, '{"a":' * 20 + "1" + "}" * 20, None, 0),  # though not in time exponential in the depth
    ("json_schema", {"schema": DEFINED, "score": "share"}, '{"n": 1}', None, 1),
    ("json_schema", {"schema": DEFINED, "score": "share"}, '{"n": "1"}', None, 0),
    ("json_schema", {"schema": {"uniqueItems": True}}, '[{"a": 1}, {"a": 1}]', None, 0),
    ("json_schema", {"schema": {"type": "array"}, "score": "share"}, "[1]", None, 1),  # no named fields: all or nothing
    ("json_field", {}, 'Here: {"answer": "Paris "}', "paris", 1),
    ("json_field", {}, '{"answer": 0.50}', "1/2", 1),
    ("json_field", {}, '{"answer": "0.5"}', "1/2", 1),
    ("json_field", {"field": "result.1.label"}, '{"result": [0, {"label": true}]}', "true", 1),
    ("json_field", {"field": "result.9.label"}, '{"result": []}', "x", 0),
    ("json_field", {}, '{"x": 1} {"answer": [2, 1]}', "[2, 1]", 1),
    ("keywords", {}, "Plants use sunlight.", ("plant", "sun", "water", "air"), 0.5),
    ("contains", {"phrases": ["thank you", "bye"]}, "Thank you all", None, 0.5),
    ("contains", {"phrases": ["thank you", "bye"], "wanted": "any"}, "Thank you all", None, 1),
    ("contains", {}, "It is Paris.", "paris", 1),  # the gold answer where no phrases are given
    ("contains", {"whole_words": True}, "category", "cat", 0),
    ("contains", {"ignore_case": False}, "Cat", "cat", 0),
    ("contains", {}, "x", None, 0),
    ("lacks", {"phrases": ["as an AI"]}, "As an ai, no", None, 0),
    ("lacks", {"phrases": ["as an AI"]}, "no", None, 1),
    ("profanity_free", {}, "Fine weather in Scunthorpe, Dick Cheney's classic assassin", None, 1),  # parts of words are no words
    ("profanity_free", {}, f"{COARSE.upper()}ing rain", None, 0),
    ("profanity_free", {}, "Damn!", None, 0),
    ("profanity_free", {}, "d@mn", None, 0),  # disguised
    ("profanity_free", {"allowed": ["damn"]}, "Damn!", None, 1),
    ("profanity_free", {"also": ["heck"]}, "Heck!", None, 0),
    ("length", {"zero_at": 0, "one_at": 4}, "one two three", None, 0.75),
    ("length", {"zero_at": 4, "one_at": 0}, "one two three", None, 0.25),
    ("length", {"unit": "characters", "one_at": 10}, "12345", None, 0.5),
    ("length", {"unit": "tokens", "one_at": 4}, "12345678", None, 0.5),  # four bytes a token
    ("brevity", {"one_at": 2, "zero_at": 6}, "a b", None, 1),
    ("brevity", {"one_at": 2, "zero_at": 6}, "a b c d", None, 0.5),
    ("brevity", {"one_at": 2, "zero_at": 6}, "a b c d e f g", None, 0),
    ("brevity", {}, "  ", None, 0),  # saying nothing is not brief
    ("readability", {}, "The cat sat on the mat. It was fat.", None, 1),
    ("readability", {}, "Institutional considerations necessitate multidimensional organisational reconfiguration.", None, 0),
    ("readability", {"min_words": 4}, "The cat sat.", None, 0),
    ("sentiment", {}, "", None, 0),
    ("simplicity", {}, "It is so. It was so. We all saw it go by.", None, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "params", "text", "gold", "wanted"), TABLE, ids=[f"{i}-{row[0]}" for i, row in enumerate(TABLE)]
)
def test_a_text_has_the_score_that_its_reason_says(name, params, text, gold, wanted):
    assert scorer(name, **params).score(text, query(gold)) == pytest.approx(wanted, abs=1e-12)


def test_moods_are_ordered_and_mirror_each_other():
    texts = ["I hate this, it is terrible.", "It is a table.", "I love this, it is wonderful!"]
    positive = [scorer("sentiment").score(text, query()) for text in texts]
    negative = [scorer("sentiment", mood="negative").score(text, query()) for text in texts]
    neutral = [scorer("sentiment", mood="neutral").score(text, query()) for text in texts]
    assert positive == sorted(positive)
    assert positive[1] == 0.5
    assert positive[0] < 0.2
    assert positive[2] > 0.8
    assert [p + n for p, n in zip(positive, negative, strict=True)] == pytest.approx([1, 1, 1])
    assert neutral[1] == 1 > max(neutral[0], neutral[2])


def test_reading_ease_is_fleschs_formula():
    # 6 words in 1 sentence; the-cat-sat-on-the-mat has 6 syllables
    assert reading_ease("The cat sat on the mat.") == pytest.approx(206.835 - 1.015 * 6 - 84.6)
    # ta-ble has 2, made 1 (a silent e), free 1, i-de-a 2 groups of vowels: 6 syllables in 4 words
    assert reading_ease("table made free idea") == pytest.approx(206.835 - 1.015 * 4 - 84.6 * 6 / 4)
    assert reading_ease("") == 0


def test_lengths_are_counted_in_the_unit_asked_for():
    assert [measured(" two words ", unit) for unit in ("words", "characters", "tokens")] == [2, 9, 3]


@pytest.mark.parametrize(
    "bomb", ["a" * 200_000 + "!", "[" * 200_000, '{"a":' * 50_000, "1," * 100_000, "1/" * 100_000, "." * 200_000]
)
def test_hostile_texts_are_judged_while_other_threads_live(bomb):
    """A pattern that backtracks would take for ever, and hold the interpreter meanwhile."""
    judges = [
        scorer("regex", pattern="(a+)+$"),
        scorer("regex", pattern="(?:a|aa)+b(x)"),
        scorer("number"),
        scorer("json_schema", schema={"type": "object", "additionalProperties": {"$ref": "#"}, "pattern": "(a+)+$"}),
        scorer("json_field"),
        scorer("simplicity"),
        scorer("readability"),
        scorer("profanity_free"),
        scorer("contains", phrases=["b"], whole_words=True),
    ]
    done, gaps = threading.Event(), []

    def tick():
        is_over = False
        while not is_over:
            began = time.monotonic()
            is_over = done.wait(0.01)
            gaps.append(time.monotonic() - began)

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        for judge in judges:
            assert 0 <= judge.score(bomb, query("1")) <= 1
    finally:
        done.set()
        ticker.join()
    assert max(gaps) < 20  # a backtracking search of these texts takes longer than the universe has lasted
