"""Plug-ins: a distribution that brings scorers, found by its entry points; and what scorers say of themselves."""

import json
import os
import subprocess
import sys

import pytest

from iapo_core import cli
from iapo_core.errors import ScorerError
from iapo_core.scorers import available
from iapo_core.scorers.described import describe, described
from tests.scorers.making import query, scorer

SOURCE = '''
from typing import Annotated, Literal


def shout(text, query, *, weight: Annotated[float, "Score of a shout."] = 1.0) -> float:
    """Whether the completion is in capitals."""
    return weight * text.isupper()


def broken(text, query):
    return 1 / 0


def endless(text, query):
    return float("inf")


def starts(letter: str, mode: Literal["strict", "lax"] = "strict"):
    """Starts with a letter."""
    return Starts(letter, mode)


class Starts:
    def __init__(self, letter, mode):
        if len(letter) != 1:
            raise ValueError(f"letter is one letter, not {letter!r}")
        self.letter = letter

    def score(self, text, query):
        return float(text.startswith(self.letter))

    def extract(self, text, query):
        return text[:1] or None
'''
POINTS = (
    "[iapo.scorers]\nshout = loud:shout\nbroken = loud:broken\nendless = loud:endless\nstarts = loud:starts\ngone = loud:gone\n"
)


@pytest.fixture
def loud(tmp_path, monkeypatch):
    """An installed distribution: a module, and metadata beside it as an installer leaves them."""
    (tmp_path / "loud.py").write_text(SOURCE)
    info = tmp_path / "loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    available.cache_clear()
    yield tmp_path
    available.cache_clear()
    sys.modules.pop("loud", None)


def test_a_plain_function_is_a_scorer_and_its_keywords_are_params(loud):
    assert scorer("shout").score("HELP", query()) == 1
    assert scorer("shout", weight=0.5).score("HELP", query()) == 0.5
    assert scorer("shout").extract("HELP", query()) is None
    with pytest.raises(ScorerError, match="takes no 'volume'; it takes weight"):
        scorer("shout", volume=3)
    found = describe("shout")
    assert (found.description, found.is_voting, found.package) == ("Whether the completion is in capitals.", False, "loud 1.0")
    assert [(p.name, p.kind, p.default, p.help) for p in found.parameters] == [("weight", "number", 1.0, "Score of a shout.")]


def test_a_factory_is_asked_with_the_params(loud):
    assert scorer("starts", letter="a").score("abc", query()) == 1
    assert scorer("starts", letter="a").extract("abc", query()) == "a"
    with pytest.raises(
        ScorerError, match="Objective 'o': the scorer 'starts' refuses its params: letter is one letter, not 'ab'"
    ):
        scorer("starts", letter="ab")
    with pytest.raises(ScorerError, match="needs `letter`"):
        scorer("starts")
    letter, mode = describe("starts").parameters
    assert (letter.is_required, mode.options) == (True, ("strict", "lax"))


@pytest.mark.parametrize(
    ("name", "sentence"), [("broken", "raised ZeroDivisionError .* query 'q'"), ("endless", "gave inf .* which is no score")]
)
def test_a_plug_in_that_gives_no_score_says_so(loud, name, sentence):
    with pytest.raises(ScorerError, match=sentence):
        scorer(name).score("x", query())


def test_a_plug_in_that_cannot_be_imported_hides_no_other(loud):
    found, broken = described()
    assert {"exact", "shout", "starts"} <= {one.name for one in found}
    assert "cannot be imported" in broken["gone"]
    with pytest.raises(ScorerError, match=r"Objective 'o': the scorer 'gone' cannot be imported .*install what it needs"):
        scorer("gone")


def test_the_command_line_lists_plug_ins_beside_built_ins(loud):
    environment = os.environ | {"PYTHONPATH": str(loud)}
    done = subprocess.run(
        [sys.executable, "-m", "iapo_core.cli", "scorers"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "shout" in done.stdout
    assert "Whether the completion is in capitals." in done.stdout
    assert "cannot be used" in done.stdout


def test_the_command_line_shows_one_scorer(capsys):
    assert cli.main(["scorers", "regex"]) == 0
    assert "Which group is the answer" in capsys.readouterr().out
    assert cli.main(["scorers", "keywords"]) == 0
    assert "takes no params" in capsys.readouterr().out
    assert cli.main(["scorers", "number", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "number"
    assert cli.main(["scorers", "nope"]) == 2
    assert "is not installed" in capsys.readouterr().err


def test_every_built_in_describes_itself_in_one_sentence_and_every_param_in_words():
    found, broken = described()
    assert not broken
    ours = [one for one in found if one.package.startswith("iapo ")]
    assert len(ours) >= 19
    for one in ours:
        assert 20 <= len(one.description) <= 140
        assert one.description.endswith(".")
        for parameter in one.parameters:
            assert parameter.kind != "json" or parameter.name == "schema"
            assert parameter.help.endswith(".") or parameter.help.endswith("?"), (one.name, parameter)
            assert parameter.is_required or parameter.accepts(parameter.default), (one.name, parameter)
