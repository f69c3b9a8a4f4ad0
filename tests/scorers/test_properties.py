"""Whatever a model writes: no scorer raises, scores stay in [0, 1], and votes are canonical."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iapo_core.scorers.number import spelled
from tests.scorers.making import query, scorer

PARAMS = {
    "brevity": {},
    "choice": {"choices": ["A", "B", "none of them"]},
    "contains": {"phrases": ["a", "("], "whole_words": True},
    "exact": {"ignore_punctuation": True, "ignore_articles": True},
    "json_field": {"field": "a.0"},
    "json_schema": {"schema": {"type": "object", "required": ["a"], "properties": {"a": {"multipleOf": 0.1, "uniqueItems": True}}},
                    "score": "share"},
    "keywords": {},
    "lacks": {"phrases": ["a"]},
    "length": {},
    "normalised": {},
    "number": {"tolerance": 0.001},
    "profanity_free": {},
    "readability": {"min_words": 1},
    "regex": {"pattern": "(.)a*", "which": "last"},
    "sentiment": {},
    "simplicity": {"min_words": 1},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "answer", "b"]), inner, max_size=3),
    max_leaves=12,
)
ANY = st.text() | st.text(st.characters(categories=["Cs", "L", "N", "P"])) | st.sampled_from(
    ["\0", "\ud800", "\U0001f600" * 50, "1e400", '{"a": 1e400}', '{"a": [1' + "0" * 400 + "]}", "-" * 500, "don''t", "ſ ı İ ß"]
)  # fmt: skip
TEXTS = ANY | JSON.map(lambda value: f"So: {__import__('json').dumps(value)}")
GOLDS = st.none() | ANY | st.lists(ANY, max_size=3).map(tuple)


@pytest.mark.parametrize("name", PARAMS)
@given(text=TEXTS, gold=GOLDS)
@settings(max_examples=150, deadline=None)
def test_any_text_has_a_score_within_range(name, text, gold):
    judge = scorer(name, **PARAMS[name])
    assert 0 <= judge.score(text, query(gold)) <= 1
    vote = judge.extract(text, query(gold))
    assert vote is None or vote


@pytest.mark.parametrize("name", ["choice", "exact", "json_field", "normalised", "number"])
@given(text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_a_vote_is_its_own_canonical_spelling(name, text):
    """So a gold answer that is written as a vote meets it."""
    judge = scorer(name, **PARAMS[name])
    vote = judge.extract(text, query())
    if vote is not None:
        assert judge.canonical(vote) == vote


@given(st.fractions(max_denominator=10**6))
def test_a_number_is_spelled_exactly(value):
    assert Fraction(spelled(value)) == value


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_a_fraction_and_its_multiple_vote_together(above, below):
    judge = scorer("number")
    assert judge.extract(f"{above}/{below}", query()) == judge.extract(f"It is {3 * above}/{3 * below}.", query())
