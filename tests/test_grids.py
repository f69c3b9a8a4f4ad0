"""Grids of preferences and of decoding configs."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iapo_core.errors import ContextError, TaskError
from iapo_core.grids import MAX_CONTEXTS, config_grid, free_name, numbers, weight_grid
from iapo_core.task import Context, DecodingConfig


@given(st.integers(1, 4), st.integers(4, 9), st.lists(st.floats(0, 10), min_size=1, max_size=3, unique_by=lambda c: f"{c:g}"))
def test_a_weight_grid_holds_every_mix_once(n_objectives, steps, costs):
    names = [f"o{k}" for k in range(n_objectives)]
    grid = [Context.model_validate(row) for row in weight_grid(names, steps, costs)]
    assert len(grid) == comb(steps - 1, n_objectives - 1) * len(costs)
    assert len({context.id for context in grid}) == len({(*c.weights.values(), c.cost_weight) for c in grid}) == len(grid)
    for context in grid:
        assert sum(context.weights.values()) == pytest.approx(1, abs=1e-5)
        assert min(context.weights.values()) > 0


def test_two_objectives_in_tenths_and_three_costs_are_27_contexts():
    grid = weight_grid(["simple", "complete"], 10, [0, 0.2, 1])
    assert len(grid) == 27
    assert grid[0] == {
        "id": "mix-1/cost-0",
        "title": "simple 0.1, complete 0.9, cost 0",
        "weights": {"simple": 0.1, "complete": 0.9},
        "cost_weight": 0.0,
    }


@pytest.mark.parametrize(("names", "steps", "costs"), [(["a", "b"], 10, []), (["a", "b"], 1, [0]), (list("abcdef"), 30, [0])])
def test_a_grid_of_none_or_too_many_is_refused(names, steps, costs):
    with pytest.raises(ContextError, match=rf"contexts; a task has 1 to {MAX_CONTEXTS:,}\. Change the steps or the costs"):
        weight_grid(names, steps, costs)


def test_a_config_grid_names_what_differs():
    grid = config_grid(["openai/gpt-x", "other/gpt-x", "local/smollm2"], [0, 1], [64], taken=["smollm2-t0"])
    assert [row["id"] for row in grid] == ["gpt-x-t0", "gpt-x-t1", "gpt-x-t0-2", "gpt-x-t1-2", "smollm2-t0-2", "smollm2-t1"]
    assert [DecodingConfig.model_validate(row).model for row in grid][::2] == ["openai/gpt-x", "other/gpt-x", "local/smollm2"]


@pytest.mark.parametrize("models", [[], ["openai/x"] * 201])
def test_a_config_grid_of_none_or_too_many_is_refused(models):
    with pytest.raises(TaskError, match=r"configs; 1 to 200 can be made at once"):
        config_grid(models, [1], [64])


def test_a_taken_name_gets_a_number():
    assert free_name("a", {"a", "a-2"}) == "a-3"
    assert free_name("b", {"a"}) == "b"


def test_typed_numbers_are_read_once_each():
    assert numbers(["0", "0.5", "0.50", "1e1"], "temperature") == [0.0, 0.5, 10.0]


@pytest.mark.parametrize("text", ["warm", "-1", "nan", "inf", ""])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(TaskError, match=rf"'{text}' is no temperature; write a number of at least 0, such as 0\.5"):
        numbers([text], "temperature")


@pytest.mark.parametrize("limit", [0, 0.5])
def test_a_limit_is_a_whole_number_of_tokens(limit):
    with pytest.raises(TaskError, match="whole number of tokens, 1 at least"):
        config_grid(["openai/x"], [1], [limit])
