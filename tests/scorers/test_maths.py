"""Mathematical answers: equal values vote together, and nothing that a model writes stops the process."""

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iapo_core.scorers import maths
from tests.scorers.making import query, scorer

pytest.importorskip("math_verify")

SAME = [
    (r"The answer is $\frac{1}{2}$.", "0.5", r"$0.5$", r"\boxed{\frac12}", "$x=1/2$", r"\boxed{50\%}"),
    (r"$\sqrt{8}$", r"$2\sqrt{2}$"),
    ("$(x+1)^2$", "$x^2+2x+1$", "$1+2x+x^2$"),
    (r"$\{1,2\}$", r"$\{2,1\}$"),
    ("So it is 1,234", "$1234$"),
    (r"\boxed{[0,1)}", "$[0,1)$"),
]  # fmt: skip


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_equal_values_vote_together(texts):
    judge = scorer("math")
    votes = {judge.extract(text, query()) for text in texts}
    assert len(votes) == 1
    assert None not in votes


def test_different_values_do_not():
    judge = scorer("math")
    texts = [same[0] for same in SAME] + ["$3$", r"$\frac{1}{3}$", "$0.3333$", "$x<3$", "$[0,1]$", r"$\infty$", "$x$", "$y$"]
    votes = [judge.extract(text, query()) for text in texts]
    assert None not in votes
    assert len(set(votes)) == len(votes)


@pytest.mark.parametrize(
    ("text", "gold", "wanted"),
    [
        (r"\boxed{\frac{3}{4}}", "0.75", 1),
        (r"\boxed{x+1}", "1+x", 1),  # gold answers are read as LaTeX where nothing marks a part of them
        (r"\boxed{\sqrt2}", r"\sqrt{2}", 1),
        (r"\boxed{2}", r"\sqrt{2}", 0),
        ("I do not know", "2", 0),
        ("$2$", ("1", "2"), 1),
        ("$2$", "two", 0),  # a word is no mathematical answer, not the product of its letters
    ],
)
def test_the_answer_is_compared_by_value(text, gold, wanted):
    assert scorer("math").score(text, query(gold)) == wanted


def test_what_would_take_for_ever_has_no_answer_and_the_next_text_has_one():
    """Asked from another thread, where math-verify's own limits cannot work."""
    judge, found = scorer("math"), []

    def ask():
        found.append(judge.extract("$9^{9^{9^{9}}}$", query()))
        found.append(judge.extract("$9^{2}$", query()))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(240)
    assert found == [None, "81"]


TOKENS = "$ \\frac{1}{2} \\boxed{ } x = + - ^ { ( ) [ 1 23 .5 , \\sqrt \\ so % \\pi \\{ é"
PIECES = [*TOKENS.split(), " ", "\ud800", "\0"]


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
@settings(max_examples=60, deadline=None)
def test_any_text_has_an_answer_or_none(text):
    judge = scorer("math")
    vote = judge.extract(text, query())
    assert vote is None or vote
    assert judge.score(text, query("1")) in (0, 1)


def test_a_killed_child_is_replaced():
    reader = maths.Reader()
    try:
        assert reader.read("$1+1$", is_gold=False) == "2"
        reader._child.kill()
        assert reader.read("$1+2$", is_gold=False) is None  # its answer died with it
        assert reader.read("$1+3$", is_gold=False) == "4"
        assert reader.read("$1+1$", is_gold=False) == "2"
    finally:
        reader.close()
    assert reader._child is None


def test_a_forked_process_starts_a_child_of_its_own():
    assert scorer("math").extract("$1+1$", query()) == "2"
    before = maths._READER._child
    pid = os.fork()
    if pid == 0:
        os._exit(0 if maths._READER._child is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert maths._READER._child is before
