"""What leaves the product: policies that say where they come from, and CSV that no spreadsheet runs."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iapo_core.arms import Contexts, Grid
from iapo_core.environment import default_grid
from iapo_core.evaluate import score_queries
from iapo_core.outputs.export import safe_csv, scores_csv, with_heldout
from iapo_core.policy import Policy
from tests.conftest import votes_environment


def first_policy(environment):
    grid: Grid = default_grid(environment)
    rows = np.zeros(len(grid.contexts), dtype=int)
    return Policy.from_picks(
        grid, rows, rows + 2, task="t", strategy=environment.strategy, objectives=environment.objectives, is_simulated=True
    )


def test_held_out_estimates_average_to_the_acr():
    environment = votes_environment()
    policy = with_heldout(first_policy(environment), environment)
    assert environment.acr(policy) == pytest.approx(np.mean([choice.estimate.value for choice in policy.choices]))
    assert {choice.estimate.n_queries for choice in policy.choices} == {len(environment.split.heldout)}
    assert all(choice.estimate.low <= choice.estimate.value <= choice.estimate.high for choice in policy.choices)
    assert Policy.from_json(policy.to_json()) == policy


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_text_that_begins_like_a_formula_is_guarded(start):
    written = safe_csv(("name", "value"), [(f'{start}HYPERLINK("x")', -1.5)])
    (_, row) = csv.reader(io.StringIO(written, newline=""))
    assert row == [f'\'{start}HYPERLINK("x")', "-1.5"]  # numbers are numbers


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_cell_begins_like_a_formula_and_none_is_lost(cell):
    (_, row) = csv.reader(io.StringIO(safe_csv(("name",), [(cell,)]), newline=""))
    text = row[0] if row else ""
    assert not text.startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert text in (cell, f"'{cell}")


def test_a_header_is_guarded_too():
    assert safe_csv(("=1+1",), []).startswith("'=1+1")


@pytest.mark.parametrize("is_simulated", [True, False])
def test_every_arm_of_every_context_has_a_row(is_simulated):
    environment = votes_environment()
    contexts = Contexts(("=cmd", "plain"), np.ones((2, 1)), np.array([0.0, 1.0]))
    scores = score_queries(environment, environment.split.heldout, contexts)
    rows = list(csv.DictReader(io.StringIO(scores_csv(scores, is_simulated=is_simulated))))
    assert len(rows) == np.prod(scores.q.shape)
    assert {row["context"] for row in rows} == {"'=cmd", "plain"}
    assert {row["origin"] for row in rows} == {"SIMULATED" if is_simulated else "real"}
    assert {row["source"] for row in rows} == {"heldout"}
    assert [float(row["utility"]) for row in rows] == pytest.approx(scores.q.reshape(-1).tolist())
