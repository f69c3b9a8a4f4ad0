"""What leaves by the Export page is what the run decided, and the snippet on it works."""

import io
import subprocess
import sys

import numpy as np
import pytest

from iapo_core import Policy
from iapo_core.outputs.export import run_policy
from iapo_core.runs import catalogue
from tests.pages import tiny
from tests.pages.test_pages import words_of


@pytest.mark.parametrize("task", [tiny.VOTE, tiny.BEST])
def test_the_snippet_loads_the_file(open_page, make_run, store, tmp_path, task):
    run_id = make_run(task)
    app = open_page("export", run=run_id)
    assert not app.exception
    snippet, deploy = app.code[0].value, app.code[1].value
    run_policy(store.run(run_id)).save(tmp_path / f"iapo-{task}-{run_id}.json")
    answered = deploy.replace("[...]", '["yes", "no", "yes"]')
    program = f"{snippet}\nprint(arm.candidate, arm.n)\n{answered}\nprint(best)\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    choice = store.run(run_id).policy.choices[0]
    assert done.stdout.splitlines()[0] == f"{choice.candidate} {choice.n}"


def test_the_shown_file_is_a_policy_with_estimates(open_page, make_run, store):
    run_id = make_run(tiny.VOTE)
    app = open_page("export", run=run_id)
    shown = Policy.from_json(app.code[-1].value)
    assert shown == run_policy(store.run(run_id))
    assert all(choice.estimate is not None and choice.estimate.source == "heldout" for choice in shown.choices)


def test_simulated_says_so_in_name_and_content(open_page, make_run, store):
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    np.savez_compressed(
        buffer,
        counts=rng.integers(1, 9, (3, 10, 2)),
        answers=np.zeros(10, dtype=int),
        cost_per_prompt=np.full(3, 0.01),
        cost_weights=np.array([0.0, 1.0]),
        n_max=np.array(4),
        is_simulated=np.array(True),
    )
    run_id = make_run(catalogue.add_table("made-up.npz", buffer.getvalue()))
    app = open_page("export", run=run_id)
    assert not app.exception
    assert "SIMULATED" in words_of(app)
    assert "'SIMULATED-iapo-" in app.code[0].value
    assert run_policy(store.run(run_id)).is_simulated


def test_a_run_without_policy_is_answered(open_page, make_run):
    app = open_page("export", run=make_run(is_finished=False))
    assert not app.exception
    assert "There is no policy to export yet" in words_of(app)
