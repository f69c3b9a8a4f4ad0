"""The model behind PSST-EB, and what the algorithm promises."""

from itertools import product
from math import factorial

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.environments.synthetic import synth_bernoulli
from iapo_core.events import Estimated, Planned, Trimmed
from iapo_core.optimize import start
from iapo_core.tail_model import extended_maxima
from iapo_core.utility import best_of_n
from iapo_core.vote_model import VoteCells, fit_votes, likelihood, vote_types
from tests.conftest import outcomes_environment, votes_environment


@pytest.mark.parametrize(("n_wrong", "has_none"), [(1, False), (3, False), (2, True)])
def test_state_probabilities_sum_to_one_and_agree_with_enumeration(n_wrong, has_none):
    types = vote_types(n_wrong, has_none, 4)
    n = 3
    shares = np.column_stack([np.exp(types.log_none), np.exp(types.log_gold), types.wrong])
    states: dict[tuple[int, ...], np.ndarray] = {}
    for draw in product(range(2 + n_wrong), repeat=n):  # 0 no vote, 1 gold, 2.. wrong
        counts = np.bincount(draw, minlength=2 + n_wrong)
        state = (int(counts[1]), int(counts[0]), *sorted(counts[2:].tolist(), reverse=True))
        states[state] = states.get(state, 0) + np.prod(shares[:, list(draw)], axis=1)
    got = likelihood(np.array(list(states)), types)
    np.testing.assert_allclose(got, np.array(list(states.values())), atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=0), 1.0, atol=1e-12)
    assert factorial(n) == 6


def test_cells_deepen_and_keep_their_counts():
    cells = VoteCells(2)
    cells.add(np.array([0, 0, 1]), np.array([7, 9, 7]), np.array([[0, 1], [2, 2], [-1, 0]]), np.array([0, 1, 0]))
    cells.add(np.array([0]), np.array([7]), np.array([[0, 2, 1]]), np.array([0]))
    candidates, queries, states = cells._states()
    assert candidates.tolist() == [0, 0, 1]
    assert queries.tolist() == [7, 9, 7]
    assert states.tolist() == [[2, 0, 2, 1], [0, 0, 2, 0], [1, 1, 0, 0]]


def test_the_model_recovers_curves_that_shallow_cells_do_not_show():
    """Cells of 4 votes tell a steady prompt (0.6 everywhere) from a polarised one (0.97 and 0.3) at N = 32."""
    rng = np.random.default_rng(0)
    right = np.stack([np.full(400, 0.6), np.where(np.arange(400) % 4 > 1, 0.97, 0.30)])
    answers = (rng.random((2, 400, 4)) > right[..., None]).astype(int)
    cells = VoteCells(2)
    for p in range(2):
        cells.add(np.full(400, p), np.arange(400), answers[p], np.zeros(400, dtype=int))
    credit = cells.fit(32).credit
    assert credit[1, 0] > credit[0, 0]
    assert credit[0, 31] > credit[1, 31] + 0.1


def test_a_candidate_without_cells_is_unknown():
    half = np.zeros((2, 2, 3), dtype=int)
    half[:, 0] = [[3, 1, 0], [2, 2, 1]]
    types = vote_types(1, False, 4)
    fit = fit_votes(half, likelihood(np.array([[2, 0, 0], [1, 0, 1], [0, 0, 2]]), types), types.credit)
    assert np.isfinite(fit.credit[0]).all()
    assert np.isnan(fit.credit[1]).all()


def test_tails_keep_what_was_observed_and_grow_from_there():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(300, 1, 4))
    curve = extended_maxima([cells], 16)
    np.testing.assert_allclose(curve[:, :4], best_of_n(cells).mean(axis=0))
    assert (np.diff(curve) > 0).all()
    assert curve[0, 15] == pytest.approx(1.766, abs=0.2)  # expected maximum of 16 standard normals


def test_deep_cells_lead_the_growth_of_shallow_ones():
    rng = np.random.default_rng(1)
    shallow, deep = rng.random((50, 2, 2)), rng.random((5, 2, 8))
    curve = extended_maxima([shallow, deep], 8)
    assert curve.shape == (2, 8)
    deepest = best_of_n(deep).mean(axis=0)
    observed = best_of_n(shallow).mean(axis=0)
    want = (50 * (observed[:, 1] + deepest[:, 7] - deepest[:, 1]) + 5 * deepest[:, 7]) / 55
    np.testing.assert_allclose(curve[:, 7], want)


@pytest.mark.parametrize("environment", [votes_environment(), outcomes_environment()], ids=["votes", "outcomes"])
def test_candidates_halve_and_every_candidate_meets_the_same_queries(environment):
    events = list(start(environment, budget=600, algorithm="psst-eb", seed=0))
    plans = [e for e in events if isinstance(e, Planned)]
    assert all(len(set(p.sizes[p.sizes > 0].tolist())) == 1 for p in plans)
    alive = [e.alive.any(axis=2).sum(axis=1) for e in events if isinstance(e, Trimmed)]
    assert [set(a.tolist()) for a in alive] == [{2}, {1}]
    for event in events:
        if isinstance(event, Estimated):
            sampled = ~np.isnan(event.reward[0]).all(axis=1)
            assert np.isfinite(event.reward[:, sampled]).all()


def test_a_thousand_completions_on_math_do_what_twenty_thousand_do_for_psst(math_path):
    eb, paper = [], []
    for seed in range(30):
        environment = iapo.load_environment(math_path, seed=seed)
        eb.append(environment.acr(iapo.optimize(environment, budget=1000, algorithm="psst-eb", seed=seed).policy))
        paper.append(environment.acr(iapo.optimize(environment, budget=1000, seed=seed).policy))
    assert np.mean(eb) > np.mean(paper) + 0.005


def test_resamples_of_the_queries_scatter_around_the_fit():
    rng = np.random.default_rng(2)
    cells = VoteCells(4)
    candidates, queries = np.repeat(np.arange(3), 40), np.tile(np.arange(40), 3)
    right = rng.random((120, 6)) < np.array([0.3, 0.6, 0.8])[candidates][:, None]
    cells.add(candidates, queries, np.where(right, 1, 2).astype(np.int32), np.ones(120, dtype=np.int32))
    fit = cells.fit(8)
    resampled = cells.resampled(np.arange(4), 4000, rng, np.arange(1, 9))
    assert resampled.shape == (8, 4000, 4)
    assert np.isnan(resampled[:, :, 3]).all()  # it has no cell
    assert np.allclose(resampled[:, :, :3].mean(axis=1).T, fit.credit[:3], atol=0.005)
    assert (resampled[:, :, :3].std(axis=1) > 0.002).all()


def test_a_batch_that_flatters_one_kind_of_candidate_does_not_push_out_the_others():
    acr = {}
    for resamples in (0, 200):
        found = []
        for seed in range(12):
            environment = synth_bernoulli(5, deceptive=0.8, split_seed=seed)
            run = iapo.optimize(environment, budget=20_000, algorithm="psst-eb", seed=seed, resamples=resamples)
            found.append(environment.acr(run.policy))
        acr[resamples] = np.mean(found)
    assert acr[200] > acr[0] + 0.02
