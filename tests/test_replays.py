"""Replays with less money end where runs with less money end, and figures of picks agree with the environment's own."""

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.arms import Arm
from iapo_core.outputs.canvas import Labels
from iapo_core.outputs.rivals import Rival, draw_rivals, rivals
from iapo_core.outputs.stability import Stability, draw_stability
from iapo_core.replays import Replays, acr_interval, replays
from tests.conftest import outcomes_environment, votes_environment


@pytest.mark.parametrize("environment", [votes_environment(), outcomes_environment()], ids=["votes", "outcomes"])
@pytest.mark.parametrize("algorithm", ["psst", "psst-eb"])
def test_a_replay_is_the_run_with_that_budget(environment, algorithm):
    found = replays(environment, shares=(0.5, 1.0), n_replays=3, budget=300, seed=4, algorithm=algorithm)
    for b, budget in enumerate((150, 300)):
        run = iapo.optimize(environment, budget=budget, seed=4, algorithm=algorithm)
        assert [environment.candidates[p] for p in found.rows[b, 0]] == [choice.candidate for choice in run.policy.choices]
        assert list(found.scales[b, 0]) == [choice.n for choice in run.policy.choices]
        assert found.spent[b, 0] == run.spent
        assert found.utilities[b, 0].mean() == pytest.approx(environment.acr(run.policy))
    assert (found.spent <= found.budgets[:, None]).all()
    assert (found.n_same[-1] >= 1).all()


def test_replays_keep_weights_and_scale_of_the_run():
    environment = votes_environment()
    found = replays(environment, budget=200, seed=0, n_max=2, shares=(1.0,), n_replays=2)
    assert found.scales.max() <= 2


def test_acr_of_picks_is_the_environments_with_an_interval_over_queries():
    environment = outcomes_environment(n_queries=40)
    run = iapo.optimize(environment, budget=400, seed=0)
    picks = [Arm(choice.candidate, choice.n) for choice in run.policy.choices]
    interval = acr_interval(environment, environment.contexts, picks)
    assert interval.value == pytest.approx(environment.acr(run.policy))
    per_query = np.mean(
        [
            environment.q_values(np.array([x]))[
                range(3), [environment.candidates.index(a.candidate) for a in picks], [a.n - 1 for a in picks]
            ]
            for x in environment.split.heldout
        ],
        axis=1,
    )
    assert interval.n_queries == 8
    assert interval.high - interval.value == pytest.approx(
        2.3646 * per_query.std(ddof=1) / np.sqrt(8), rel=1e-3
    )  # t of 7 at 97.5 %


def steady(*n_same):
    """Replays of ten seeds in which so many pick candidate 1, the run's own among them; the others pick candidate 0."""
    rows = np.array([[[1] if s < n else [0] for s in range(10)] for n in n_same])
    spent = np.full(rows.shape[:2], 9)
    return Replays(np.arange(1, len(n_same) + 1) * 1_000, spent, rows, np.full(rows.shape, 4), np.full(rows.shape, 0.5))


@pytest.mark.parametrize(
    ("n_same", "title"),
    [
        ((2, 9, 10), "From 2,000 completions on at least 9 of 10 replays pick right"),
        ((9, 8, 10), "From 3,000 completions on at least 10 of 10 replays pick right"),
        ((9, 9, 6), "Even the whole budget picks right in 6 of 10 replays only"),
    ],
)
def test_the_figure_says_from_which_budget_on_the_pick_is_steady(n_same, title):
    record = Stability(steady(*n_same), Labels(("left", "right"), ("all",), is_simulated=True), 0)
    assert record.title == title
    figure = draw_stability(record, "dark")
    assert "SIMULATED" in figure.layout.title.subtitle.text
    heights = np.sum([bar.y for bar in figure.data], axis=0)
    assert heights == pytest.approx(np.ones(3))
    assert figure.data[0].name == "right (the run's pick)"
    assert list(figure.data[0].y) == [n / 10 for n in n_same]
    assert record.table()["replays"].sum() == 30


def test_runs_beside_one_another_are_ranked_and_called():
    environment = votes_environment()
    made = []
    for i, value in enumerate((0.2, 0.6)):
        interval = acr_interval(environment, environment.contexts, [Arm(environment.candidates[i], 1)] * 2)._replace(
            value=value, low=value - 0.1, high=value + 0.1
        )
        made.append(Rival(f"run-{i}", "PSST", i, 90, "a, N = 1", interval))
    record = rivals("A <b>task</b>", 100, made, is_simulated=True)
    assert [run.run_id for run in record.runs] == ["run-1", "run-0"]
    assert record.title == "PSST (seed 1) is ahead with 100 completions"
    close = rivals("t", 100, [made[0], made[0]._replace(run_id="x")], is_simulated=False)
    assert "too close to call" in close.title
    figure = draw_rivals(record, "light")
    assert "SIMULATED" in figure.layout.title.subtitle.text
    assert "<b>task" not in figure.layout.title.subtitle.text
    assert list(record.table()["run"]) == ["run-1", "run-0"]
