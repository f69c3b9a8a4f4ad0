"""The algorithm's invariants, on environments small enough to check."""

from itertools import pairwise
from math import ceil, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iapo_core as iapo
from iapo_core.environment import default_grid
from iapo_core.errors import AlgorithmError, BudgetError, PolicyError, TaskError
from iapo_core.events import Estimated, Finished, Planned, Pulled, Trimmed, to_json
from iapo_core.optimize import ALGORITHMS, policy_so_far, start
from iapo_core.psst import _best
from iapo_core.task import Context
from tests.conftest import outcomes_environment, votes_environment

VOTES, OUTCOMES = votes_environment(), outcomes_environment()


@settings(deadline=None, max_examples=60)
@given(
    budget=st.integers(1, 3000),
    seed=st.integers(0, 1000),
    algorithm=st.sampled_from(sorted(ALGORITHMS)),
    environment=st.sampled_from([VOTES, OUTCOMES]),
    n_max=st.integers(1, 8),
)
def test_no_budget_is_ever_passed_and_events_agree(budget, seed, algorithm, environment, n_max):
    run = iapo.optimize(environment, budget=budget, algorithm=algorithm, seed=seed, n_max=n_max)
    plans = [e for e in run.events if isinstance(e, Planned)]
    draws = [e for e in run.events if isinstance(e, Pulled)]
    assert run.spent == sum(p.n_completions for p in plans) == (draws[-1].spent if draws else 0) <= budget
    assert [p.n_completions for p in plans] == [d.n_completions for d in draws]
    if algorithm.startswith("psst"):
        assert all(p.n_completions == p.sizes @ p.repeats for p in plans)
    alive = [e.alive for e in run.events if isinstance(e, Trimmed)]
    for before, after in pairwise(alive):
        assert not (after & ~before).any()
        if algorithm not in ("psst", "psst-topk"):  # the others halve prompts, or nothing
            continue
        np.testing.assert_array_equal(after.sum(axis=(1, 2)), np.ceil(before.sum(axis=(1, 2)) / 2))
    if alive:
        np.testing.assert_array_equal(alive[-1].sum(axis=(1, 2)), 1)
        for c, choice in enumerate(run.policy.choices):
            assert alive[-1][c, environment.candidates.index(choice.candidate), choice.n - 1]


def test_a_run_is_a_pure_function_of_its_arguments():
    runs = [iapo.optimize(VOTES, budget=500, seed=3) for _ in range(2)]
    assert [to_json(e) for e in runs[0].events] == [to_json(e) for e in runs[1].events]
    other = iapo.optimize(VOTES, budget=500, seed=4)
    assert [to_json(e) for e in other.events] != [to_json(e) for e in runs[0].events]


def test_each_round_pulls_the_largest_surviving_scale_of_any_context():
    events = list(start(VOTES, budget=4000, seed=0))
    alive = np.ones((len(VOTES.contexts), len(VOTES.candidates), VOTES.n_max), dtype=bool)
    n_rounds = ceil(log2(alive[0].size))
    plans = [e for e in events if isinstance(e, Planned)]
    trims = [e for e in events if isinstance(e, Trimmed)]
    assert len(plans) == len(trims) == n_rounds
    spent = 0
    for r, (plan, trim) in enumerate(zip(plans, trims, strict=True)):
        scales = np.arange(1, VOTES.n_max + 1)
        np.testing.assert_array_equal(plan.sizes, (alive.any(axis=0) * scales).max(axis=1))
        share = (4000 - spent) // (n_rounds - r)  # floor(T / R) and what was left over
        assert set(plan.repeats[plan.sizes > 0].tolist()) == {share // int(plan.sizes.sum())}
        spent += plan.n_completions
        alive = trim.alive


def test_every_kept_arm_beats_every_dropped_arm_of_its_round():
    alive = np.ones((len(VOTES.contexts), len(VOTES.candidates), VOTES.n_max), dtype=bool)
    q = None
    for event in start(VOTES, budget=4000, seed=1):
        if isinstance(event, Estimated):
            cost = event.mean_costs[:, None] * np.arange(1, VOTES.n_max + 1)
            q = event.reward[VOTES.contexts.which] - VOTES.contexts.cost_weights[:, None, None] * cost
        elif isinstance(event, Trimmed):
            for c in range(len(alive)):
                dropped = alive[c] & ~event.alive[c]
                if dropped.any():
                    assert q[c][event.alive[c]].min() >= q[c][dropped].max() - 1e-6
                    assert event.cut[c] == pytest.approx(q[c][event.alive[c]].min(), abs=1e-6)
            alive = event.alive


def test_a_large_budget_finds_the_oracle_on_the_training_queries():
    environment = votes_environment(n_candidates=3, n_queries=10, n_max=2, seed=5)
    run = iapo.optimize(environment, budget=200_000, seed=0)
    q = environment.q_values(environment.split.train)
    for c, choice in enumerate(run.policy.choices):
        assert q[c, environment.candidates.index(choice.candidate), choice.n - 1] >= q[c].max() - 0.01


def test_a_budget_below_one_full_pull_is_spent_on_what_it_buys_and_says_so():
    run = iapo.optimize(VOTES, budget=3, seed=0)
    assert 0 < run.spent <= 3
    notes = [e.note for e in run.events if isinstance(e, Planned) and e.note]
    assert any("do not buy one pull" in note for note in notes)


def test_unsampled_arms_never_beat_sampled_ones():
    for seed in range(10):
        sampled = None
        for event in start(VOTES, budget=40, seed=seed):
            if isinstance(event, Estimated):
                sampled = ~np.isnan(event.reward).all(axis=0)
            elif isinstance(event, Trimmed) and sampled.any():
                n_alive = event.alive[0].sum()
                if sampled.sum() >= n_alive * 2:
                    assert (event.alive & ~sampled).sum() == 0


def test_the_best_half_is_kept_and_equal_arms_are_drawn_alike_in_all_contexts():
    rng = np.random.default_rng(0)
    noise = rng.random(9)
    values = rng.choice([0.0, 0.5, 1.0, -np.inf], (40, 9))
    arms = np.broadcast_to(np.arange(9), values.shape)
    kept, cut = _best(values, 5, noise, arms)
    for row in range(40):
        order = sorted(range(9), key=lambda a, row=row: (-values[row, a], noise[a]))
        assert set(np.flatnonzero(kept[row])) == set(order[:5])
        assert cut[row] == values[row, order[4]]


def test_blocks_of_contexts_change_no_figure(monkeypatch):
    contexts = iapo.Contexts(tuple(f"c{i}" for i in range(30)), np.ones((30, 1)), np.geomspace(1e-3, 1, 30))
    whole = iapo.optimize(VOTES, budget=900, contexts=contexts)
    monkeypatch.setattr("iapo_core.arms._BLOCK", 1)
    assert [to_json(e) for e in iapo.optimize(VOTES, budget=900, contexts=contexts).events] == [to_json(e) for e in whole.events]


def test_topk_screens_at_one_and_keeps_k_prompts_per_context():
    events = list(start(OUTCOMES, budget=2000, seed=0, algorithm="psst-topk", k=2))
    screen = events[0]
    assert isinstance(screen, Planned)
    assert screen.purpose == "screen"
    assert set(screen.sizes.tolist()) == {1}
    assert screen.n_completions <= 400
    first_trim = next(e for e in events if isinstance(e, Trimmed))
    np.testing.assert_array_equal(first_trim.alive.any(axis=2).sum(axis=1), 2)
    assert first_trim.alive.sum() == len(OUTCOMES.contexts) * 2 * OUTCOMES.n_max
    assert isinstance(events[-1], Finished)


def test_scaling_every_weight_changes_no_trim():
    contexts = OUTCOMES.contexts
    scaled = iapo.Contexts(contexts.ids, contexts.weights * 4, contexts.cost_weights * 4)
    plain = iapo.optimize(OUTCOMES, budget=1000, seed=2)
    times_four = iapo.optimize(OUTCOMES, budget=1000, seed=2, contexts=scaled)
    assert [(c.candidate, c.n) for c in plain.policy.choices] == [(c.candidate, c.n) for c in times_four.policy.choices]


def test_a_single_arm_needs_no_completion():
    environment = votes_environment(n_candidates=1, n_max=1)
    run = iapo.optimize(environment, budget=10)
    assert run.spent == 0
    assert run.policy.arm("c0") == iapo.Arm(environment.candidates[0], 1)


def test_policy_so_far_picks_the_best_surviving_arm():
    events = list(start(VOTES, budget=2000, seed=0))
    grid = default_grid(VOTES)
    assert policy_so_far(grid, VOTES, events).choices == events[-1].policy.choices
    upto = next(i for i, e in enumerate(events) if isinstance(e, Trimmed))
    early = policy_so_far(grid, VOTES, events[: upto + 1])
    alive = events[upto].alive
    for c, choice in enumerate(early.choices):
        assert alive[c, VOTES.candidates.index(choice.candidate), choice.n - 1]
    with pytest.raises(PolicyError, match="before it had estimated anything"):
        policy_so_far(grid, VOTES, events[:1])


@pytest.mark.parametrize("budget", [0, -1, 2.5, "100", True, None])
def test_a_budget_is_a_whole_number_of_completions(budget):
    with pytest.raises(BudgetError, match="whole number of completions, at least 1"):
        iapo.optimize(VOTES, budget=budget)


def test_unknown_algorithms_options_and_scales_are_refused():
    with pytest.raises(AlgorithmError, match="no algorithm 'magic'; choose one of psst, psst-topk"):
        iapo.optimize(VOTES, budget=10, algorithm="magic")
    with pytest.raises(AlgorithmError, match="no option 'k'"):
        iapo.optimize(VOTES, budget=10, k=3)
    with pytest.raises(AlgorithmError, match="K of at least 1"):
        iapo.optimize(VOTES, budget=10, algorithm="psst-topk", k=0)
    with pytest.raises(TaskError, match="N_max must be between 1 and 8"):
        iapo.optimize(VOTES, budget=10, n_max=9)
    assert Context(id="x", weights={"correct": 1}).cost_weight == 0


def test_math_reaches_the_paper_at_5000_completions(math_path):
    acrs = []
    for seed in range(20):
        environment = iapo.load_environment(math_path, seed=seed)
        run = iapo.optimize(environment, budget=5000, seed=seed)
        assert run.spent <= 5000
        acrs.append(environment.acr(run.policy))
    assert np.mean(acrs) >= 0.79


def test_the_kernel_picks_what_a_plain_triple_loop_picks():
    from benchmarks.kernel import reference

    for seed in range(3):
        for budget in (700, 3000):
            run = iapo.optimize(VOTES, budget=budget, seed=seed)
            picks = [(VOTES.candidates.index(c.candidate), c.n) for c in run.policy.choices]
            assert picks == reference(VOTES, budget, seed)
