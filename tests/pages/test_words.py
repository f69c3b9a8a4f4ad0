"""Untrusted text stays text."""

import math

import pandas as pd
import pytest

from pages.shell import words
from pages.shell.charts import csv


@pytest.mark.parametrize(
    "text", ["![x](http://evil/x.png)", "[a](javascript:x)", "$x$", ":red[x]", "<img src=x>", "# big", "`code`", "*b* _i_", "a|b"]
)
def test_escaped_text_has_no_bare_markdown(text):
    escaped = words.escape(text)
    for place, sign in enumerate(escaped):
        if sign in "[]()*_`$:<>#|!":
            assert escaped[place - 1] == "\\", f"{sign!r} at {place} in {escaped!r}"
    assert escaped.replace("\\", "").replace("\u2060", "") == text


@pytest.mark.parametrize("text", ["see http://evil.invalid", "HTTPS://evil.invalid", "www.evil.invalid", "a@evil.invalid"])
def test_bare_addresses_are_broken(text):
    assert "\u2060" in words.escape(text)


def test_lines_become_one():
    assert words.escape("a\n# b") == r"a \# b"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_csv_cells_start_no_formula(cell):
    written = csv(pd.DataFrame({"text": [cell], "number": [-1.5]})).decode()
    assert f"'{cell}" in written
    assert "-1.5" in written
    assert "'-1.5" not in written


def test_age_in_words():
    assert words.age(0.0, 30.0) == "just now"
    assert words.age(0.0, 60.0) == "1 minute ago"
    assert words.age(0.0, 7200.0) == "2 hours ago"
    assert words.age(None) == "–"


def test_missing_figures_are_dashes():
    assert words.number(math.nan) == "–"
    assert words.interval(math.nan, 1.0) == "no interval"
    assert words.cost(math.nan) == "–"
