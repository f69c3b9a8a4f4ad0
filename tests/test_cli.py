"""The command line end to end: what is printed, what is written, and refusals as one sentence with exit code 2."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from iapo_core import load_environment
from iapo_core.cli import main
from iapo_core.events import from_json
from iapo_core.policy import Policy
from iapo_core.runs.catalogue import add_table, open_environment, task_fingerprint
from iapo_core.runs.config import RunConfig, named
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A data folder of the test's own."""
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("IAPO_DATABASE_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def table(tmp_path):
    """A count table of a majority vote: 5 prompts, 24 queries, 4 answers."""
    rng = np.random.default_rng(3)
    path = tmp_path / "answers.npz"
    np.savez_compressed(
        path,
        counts=rng.integers(1, 30, (5, 24, 4)),
        answers=rng.integers(0, 4, 24),
        cost_per_prompt=rng.uniform(0.005, 0.01, 5),
        cost_weights=np.array([0.0, 1.0]),
        n_max=np.array(8),
    )
    return str(path)


def iapo(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "iapo_core.cli", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, **options
    )


def test_a_run_shows_its_rounds_and_writes_a_policy_that_loads(table, tmp_path, capsys):
    out = tmp_path / "policy.json"
    assert main(["run", table, "--budget", "800", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "Task answers: 5 prompts, 40 arms, 2 contexts." in text
    assert "cost weight 0" in text
    policy = Policy.load(out)
    assert policy.provenance["iapo"] == version("iapo")
    assert policy.contexts == ("cost weight 0", "cost weight 1")
    assert policy.provenance["budget"] == 800
    assert 0 < policy.provenance["spent"] <= 800
    lines = [line for line in text.splitlines() if "/" in line[:5]]
    assert [int(line.split("/")[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1].split()[6] == "1"  # one arm is left
    assert f"Spent {policy.provenance['spent']:,} of 800 completions" in text
    for choice in policy.choices:
        row = next(line for line in text.split("Policy\n")[1].splitlines() if line.startswith(choice.context))
        figures = choice.estimate
        assert f"{figures.value:.3f} {figures.low:.3f} to {figures.high:.3f}" in " ".join(row.split())


def test_the_same_seed_gives_the_same_policy(table, tmp_path, capsys):
    texts = []
    for name in ("a", "b"):
        assert main(["run", table, "--budget", "300", "--seed", "7", "--out", str(tmp_path / name)]) == 0
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]


def test_json_is_one_event_a_line_and_a_summary(table, capsys):
    assert main(["run", table, "--budget", "400", "--json"]) == 0
    *events, last = capsys.readouterr().out.splitlines()
    kinds = [type(from_json(line)).__name__ for line in events]
    assert kinds[:4] == ["Planned", "Pulled", "Estimated", "Trimmed"]
    assert kinds[-1] == "Finished"
    summary = json.loads(last)
    policy = Policy.model_validate(summary["policy"])
    assert summary["heldout_acr"] == pytest.approx(np.mean([choice.estimate.value for choice in policy.choices]))
    assert summary["spent"] == from_json(events[-1]).spent <= 400


def test_contexts_from_the_command_line(table, tmp_path):
    out = tmp_path / "p.json"
    asked = ["--context", "free:credit=1", "--context", "dear:credit=1,cost=2", "--weights", "credit=1", "--cost-weight", "0.2"]
    (objective,) = load_environment(table).objectives
    asked = [text.replace("credit", objective) for text in asked]
    assert main(["run", table, "--budget", "300", "--out", str(out), *asked]) == 0
    choices = {choice.context: choice.cost_weight for choice in Policy.load(out).choices}
    assert choices == {"free": 0.0, "dear": 2.0, "asked": 0.2}


def test_simulated_tasks_say_so(capsys):
    assert main(["run", "simulated-deceptive", "--budget", "300"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("SIMULATED task simulated-deceptive")
    assert "SIMULATED: no model stands behind these figures." in text
    assert main(["tasks"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("simulated-deceptive"))
    assert "SIMULATED" in row


REFUSED = {
    "no budget to speak of": (["--budget", "0"], "budget is a whole number of completions"),
    "negative seed": (["--budget", "9", "--seed", "-1"], "seed is a whole number"),
    "n_max too large": (["--budget", "9", "--n-max", "99"], "N_max must be between 1 and 8"),
    "n_max zero": (["--budget", "9", "--n-max", "0"], "N_max must be between 1 and 8"),
    "unknown algorithm": (["--budget", "9", "--algorithm", "luck"], "no algorithm 'luck'; choose one of psst"),
    "option that does not fit": (["--budget", "9", "--k", "3"], "has no option 'k'"),
    "unknown objective": (["--budget", "9", "--context", "a:beauty=1"], "weighs 'beauty'"),
    "no weights": (["--budget", "9", "--context", "a"], "is not of the form name:objective=weight"),
    "negative weight": (["--budget", "9", "--context", "a:correct=-1"], "weights of at least 0"),
    "infinite weight": (["--budget", "9", "--context", "a:correct=inf"], "is not of the form"),
    "objective twice": (["--budget", "9", "--context", "a:correct=1,correct=2"], "each objective once"),
    "cost alone": (["--budget", "9", "--cost-weight", "0.2"], "needs --weights"),
    "nowhere to write": (["--budget", "9", "--out", "no/such/folder/p.json"], "cannot be written"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_arguments_are_one_sentence(table, capsys, arguments, words):
    assert main(["run", table, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("iapo: ")
    assert captured.err.count("\n") == 1
    assert words in captured.err


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("nosuch", "There is no task 'nosuch'; there are topics"),
        ("no/such/file.npz", "cannot be read"),
        ("./nosuch", "there is no such file or folder"),
    ],
)
def test_a_task_that_is_not_there_is_one_sentence(capsys, task, words):
    assert main(["run", task, "--budget", "9"]) == 2
    assert words in capsys.readouterr().err


def test_options_that_argparse_refuses_end_with_2(table):
    for arguments in (["run", table], ["run", table, "--budget", "many"], ["--port", "99999"], ["fly"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)


def stored_run(table):
    task = add_table("answers.npz", Path(table).read_bytes())
    environment = open_environment(task)
    contexts = named(environment.contexts, environment.objectives)
    config = RunConfig(task=task, task_fingerprint=task_fingerprint(task), budget=500, n_max=8, contexts=contexts)
    store = Store.open()
    run_id = store.create_run(config)
    return store, run_id


def test_runs_and_export(table, tmp_path, capsys):
    assert main(["runs"]) == 0
    assert "There is no run yet" in capsys.readouterr().out
    store, run_id = stored_run(table)
    assert main(["export", run_id]) == 2
    assert "is queued and has no policy yet" in capsys.readouterr().err
    ensure_finished(store, run_id)
    assert main(["runs"]) == 0
    assert run_id in capsys.readouterr().out
    assert main(["export", run_id]) == 0
    printed = Policy.from_json(capsys.readouterr().out)
    assert printed.provenance["run"] == run_id
    assert printed.provenance["created"].endswith("Z")
    assert printed.provenance["task_fingerprint"] == store.run(run_id).config.task_fingerprint
    assert all(choice.estimate.source == "heldout" for choice in printed.choices)
    assert main(["export", run_id, "--out", str(tmp_path / "p.json")]) == 0
    assert Policy.load(tmp_path / "p.json") == printed
    assert main(["export", "nowhere"]) == 2
    assert "no run 'nowhere'" in capsys.readouterr().err
    store.close()


def test_the_worker_command_drives_what_is_queued_and_ends_when_idle(table):
    store, run_id = stored_run(table)
    done = iapo("worker", "--idle", "0")
    assert (done.returncode, done.stdout) == (0, "")
    assert store.run(run_id).state == "finished"
    store.close()


def test_ctrl_c_ends_with_130_and_a_sentence(table, tmp_path):
    program = (
        "import sys, time; from iapo_core import cli; from iapo_core.commands import run\n"
        "def slow(*a, **k):\n    print('begun', flush=True); time.sleep(60); yield\n"
        f"run.start = slow; sys.exit(cli.main(['run', {table!r}, '--budget', '9']))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.stdout.readline().strip() != "begun":
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err == "iapo: interrupted; what was stored is kept.\n"


def test_a_reader_that_goes_away_is_no_error(table):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "iapo_core.cli", "run", table, "--budget", "400"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (0, b"")


def test_a_taken_port_is_explained(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["--port", str(taken.getsockname()[1]), "--no-browser"]) == 2
    assert "is taken, perhaps by a dashboard that runs already" in capsys.readouterr().err


def test_the_dashboard_answers_on_this_machine_alone(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "iapo_core.cli", "--port", str(port), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + PATIENCE_S
        while not is_healthy(port):
            assert time.monotonic() < until
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
        with open("/proc/net/tcp") as sockets:
            listening = [line.split()[1] for line in sockets if line.split()[3] == "0A"]
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
        process.terminate()  # as a service manager does: to this process alone
        process.communicate(timeout=PATIENCE_S)
        assert not is_healthy(port)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


def is_healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
