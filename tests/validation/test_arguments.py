"""Bad arguments of a run: refused before anything is bought, in Python and on the command line."""

import math

import numpy as np
import pytest

from iapo_core.arms import Contexts
from iapo_core.cli import main
from iapo_core.errors import AlgorithmError, BudgetError, ContextError, TaskError
from iapo_core.optimize import optimize, start
from tests.conftest import votes_environment

RUNS = {
    "budget 0": ({"budget": 0}, BudgetError, r"whole number of completions, at least 1, not 0"),
    "budget negative": ({"budget": -5}, BudgetError, r"at least 1, not -5"),
    "budget true": ({"budget": True}, BudgetError, r"at least 1, not True"),
    "budget a fraction": ({"budget": 9.5}, BudgetError, r"at least 1, not 9\.5"),
    "budget a text": ({"budget": "9"}, BudgetError, r"at least 1, not '9'"),
    "budget NaN": ({"budget": math.nan}, BudgetError, r"at least 1, not nan"),
    "unknown algorithm": (
        {"algorithm": "luck"},
        AlgorithmError,
        r"There is no algorithm 'luck'; choose one of psst, psst-topk, psst-eb",
    ),
    "unknown option": ({"k": 3}, AlgorithmError, r"'psst' has no option 'k'; it takes "),
    "option that is given already": ({"rng": 3}, AlgorithmError, r"'psst' has no option 'rng'"),
    "K zero": ({"algorithm": "psst-topk", "k": 0}, AlgorithmError, r"Top-K needs K of at least 1 prompt, not 0"),
    "n_max 0": ({"n_max": 0}, TaskError, r"N_max must be between 1 and 8 for 'small-votes', not 0"),
    "n_max negative": ({"n_max": -1}, TaskError, r"N_max must be between 1 and 8 .*, not -1"),
    "n_max too large": ({"n_max": 9}, TaskError, r"N_max must be between 1 and 8 .*, not 9"),
}


class Untouched(type(votes_environment())):
    """An environment that nobody may draw from."""

    def pull(self, pulls):
        raise AssertionError("a completion was bought")


@pytest.mark.parametrize(("arguments", "error", "words"), RUNS.values(), ids=RUNS.keys())
def test_a_bad_run_is_refused_before_anything_is_bought(arguments, error, words):
    environment = votes_environment()
    environment.__class__ = Untouched
    with pytest.raises(error, match=words):
        list(start(environment, **{"budget": 100} | arguments))


CONTEXTS = {
    "names twice": ((("a", "a"), np.ones((2, 1)), np.zeros(2)), r"Two contexts have the same name; give each its own"),
    "weight negative": ((("a",), -np.ones((1, 1)), np.zeros(1)), r"Context 'a' has a weight that is negative or not a number"),
    "weight NaN": ((("a",), np.full((1, 1), np.nan), np.zeros(1)), r"Context 'a' has a weight that is negative or not a number"),
    "cost infinite": (
        (("a",), np.ones((1, 1)), np.full(1, np.inf)),
        r"Context 'a' has a weight that is negative or not a number",
    ),
    "weighs nothing": (
        (("a",), np.zeros((1, 1)), np.zeros(1)),
        r"Context 'a' weighs nothing; give one objective a weight above 0",
    ),
    "other shape": ((("a", "b"), np.ones((1, 1)), np.zeros(2)), r"2 contexts need weights of shape \(2, K\)"),
}


@pytest.mark.parametrize(("values", "words"), CONTEXTS.values(), ids=CONTEXTS.keys())
def test_bad_contexts_are_refused(values, words):
    with pytest.raises(ContextError, match=words):
        Contexts(*values)


def test_a_policy_has_no_default_arm():
    policy = optimize(votes_environment(), budget=50).policy
    with pytest.raises(ContextError, match=r"This policy has no context 'nowhere'; it serves 'c0', 'c1'"):
        policy.arm("nowhere")


COMMANDS = {
    "no task": (["run"], "required"),
    "no budget": (["run", "topics"], "--budget"),
    "budget a word": (["run", "topics", "--budget", "many"], "invalid int value: 'many'"),
    "budget of 5,000 digits": (["run", "topics", "--budget", "9" * 5000], "invalid int value"),
    "unknown command": (["fly"], "invalid choice: 'fly'"),
    "unknown option": (["run", "topics", "--budget", "9", "--colour"], "unrecognized arguments: --colour"),
    "port of another world": (["--port", "70000"], "a port is a number from 1 to 65535, not 70000"),
    "budget zero": (["run", "topics", "--budget", "0"], "at least 1, not 0"),
    "budget negative": (["run", "topics", "--budget", "-3"], "at least 1, not -3"),
    "n_max zero": (["run", "topics", "--budget", "9", "--n-max", "0"], "N_max must be between 1 and 32"),
    "seed negative": (["run", "topics", "--budget", "9", "--seed", "-1"], "The seed is a whole number of at least 0"),
    "unknown task": (["run", "nosuch", "--budget", "9"], "There is no task 'nosuch'"),
    "missing file": (["run", "no.npz", "--budget", "9"], "no.npz: cannot be read"),
    "file that is no table": (["run", "{torn}", "--budget", "9"], "is not a .npz of plain arrays"),
    "task that is no task": (["run", "{folder}", "--budget", "9"], "this is not valid JSON"),
    "no such run": (["export", "nowhere"], "nowhere"),
    "no such pickle": (["import-paper", "no.pickle", "out.npz"], "no.pickle: cannot be read"),
    "pickle that is none": (["import-paper", "{torn}", "out.npz"], "torn.npz: "),
}


@pytest.mark.parametrize(("arguments", "words"), COMMANDS.values(), ids=COMMANDS.keys())
def test_a_bad_command_ends_with_2_and_a_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("IAPO_DATABASE_URL", raising=False)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04torn")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "task.json").write_text("{")
    places = {"{torn}": str(tmp_path / "torn.npz"), "{folder}": str(tmp_path / "folder")}
    try:
        code = main([places.get(argument, argument) for argument in arguments])
    except SystemExit as ended:  # argparse
        code = ended.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert words in captured.err
    assert "Traceback" not in captured.err
    *_, last = captured.err.splitlines()
    assert last.startswith("iapo")
