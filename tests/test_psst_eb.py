"""The model behind PSST-EB, and what the algorithm promises."""

from itertools import product
from math import factorial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iapo_core as iapo
from iapo_core.arms import Contexts, Grid
from iapo_core.environments.synthetic import synth_bernoulli
from iapo_core.errors import AlgorithmError
from iapo_core.events import Estimated, Planned, Trimmed
from iapo_core.optimize import start
from iapo_core.psst_eb.beliefs import Resamples
from iapo_core.psst_eb.halving import halved, merits, standing
from iapo_core.psst_eb.tail_model import extended_maxima
from iapo_core.psst_eb.vote_cells import VoteCells
from iapo_core.psst_eb.vote_model import fit_pooled, fit_votes
from iapo_core.psst_eb.vote_types import likelihood, shifts, vote_types
from iapo_core.utility import best_of_n, block_maxima
from iapo_core.votes import known_credit
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
    cells = VoteCells()
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
    cells = VoteCells()
    for p in range(2):
        cells.add(np.full(400, p), np.arange(400), answers[p], np.zeros(400, dtype=int))
    credit = fit_votes(cells.table(32)).credit
    assert credit[1, 0] > credit[0, 0]
    assert credit[0, 31] > credit[1, 31] + 0.1


@pytest.mark.parametrize(("n_wrong", "has_none"), [(1, False), (3, False), (2, True)])
def test_shifts_move_the_log_odds_and_keep_the_rest(n_wrong, has_none):
    types, moves = vote_types(n_wrong, has_none, 1), shifts(n_wrong, has_none)
    gold, none = np.exp(types.log_gold), np.exp(types.log_none)
    spread = moves.spread(np.eye(len(gold)))  # (A, G, G)
    np.testing.assert_allclose(spread.sum(axis=2), 1.0)
    np.testing.assert_allclose(spread @ none, np.broadcast_to(none, spread.shape[:2]), atol=1e-12)
    assert (np.diff(spread @ gold, axis=0) >= -1e-12).all()  # the shifts rise
    middle = len(spread) // 2
    np.testing.assert_allclose(spread[middle], np.eye(len(gold)), atol=1e-9)  # the one in the middle moves nothing
    states = np.array([[1, 0, 1], [0, 0, 2], [2, 0, 0]])
    likelihoods = likelihood(states, types)
    np.testing.assert_allclose(moves.likelihoods(likelihoods), np.einsum("ug,ahg->auh", likelihoods, spread), atol=1e-12)


def two_kinds(rng, n_queries, n_votes):
    """28 polarised prompts and four steady ones, which score alike at N = 1 and far apart at N = 32."""
    easy = rng.random(n_queries) < 0.5
    right = np.where(easy, 0.93, 0.30) * np.ones((32, 1))
    right[:4] = 0.62
    answers = (rng.random((32, n_queries, n_votes)) > right[..., None]).astype(int)
    cells = VoteCells()
    for p in range(32):
        cells.add(np.full(n_queries, p), np.arange(n_queries), answers[p], np.zeros(n_queries, dtype=int))
    return cells.table(32), vote_credit_of(right, 32)


def vote_credit_of(right, n_max):
    return known_credit(right.ravel(), 1 - right.reshape(-1, 1), n_max).reshape(*right.shape, n_max).mean(axis=1)


def test_few_steady_prompts_are_not_drawn_towards_the_many_polarised_ones():
    wrong = {1: [], 3: []}
    for seed in range(6):
        cells, truth = two_kinds(np.random.default_rng(seed), 40, 4)
        for kinds in wrong:
            wrong[kinds].append((fit_votes(cells, kinds, 1).credit - truth)[:4, 31].mean())
    assert np.mean(wrong[1]) < -0.05
    assert abs(np.mean(wrong[3])) < abs(np.mean(wrong[1])) / 2


def test_classes_of_queries_are_found_and_correct_for_what_a_candidate_did_not_meet():
    rng = np.random.default_rng(5)
    easy = np.arange(80) % 2 == 0
    right = np.where(easy, 0.9, 0.2) * np.ones((12, 1))
    met = rng.random((12, 80)) < np.where(easy, 0.5, 0.5)
    met[0] = easy & (np.arange(80) < 40)  # one candidate saw easy queries alone
    cells = VoteCells()
    for p in range(12):
        seen = np.flatnonzero(met[p])
        answers = (rng.random((len(seen), 4)) > right[p, seen, None]).astype(int)
        cells.add(np.full(len(seen), p), seen, answers, np.zeros(len(seen), dtype=int))
    table = cells.table(8)
    classed, plain = fit_votes(table, 1, 4), fit_votes(table, 1, 1)
    assert plain.credit[0, 0] > 0.8  # as its own queries say
    assert classed.credit[0, 0] < plain.credit[0, 0] - 0.1
    hardest = classed.classes[:, 0]  # the first class starts from the hardest queries
    assert hardest[~easy].mean() > 0.3
    assert hardest[easy].mean() < 0.1
    np.testing.assert_allclose(classed.classes.sum(axis=1), 1.0)


def test_weights_of_a_fit_are_shares():
    cells, _ = two_kinds(np.random.default_rng(3), 20, 4)
    for fit in (fit_votes(cells), fit_pooled(cells)):
        np.testing.assert_allclose(fit.mixed.sum(axis=1), 1.0, atol=1e-9)
        np.testing.assert_allclose(fit.prior.sum(axis=2), 1.0, atol=1e-9)
        np.testing.assert_allclose(np.exp(fit.log_share).sum(), 1.0, atol=1e-9)
        assert ((fit.credit >= 0) & (fit.credit <= 1)).all()


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
def test_candidates_halve_and_every_candidate_is_pulled_alike(environment):
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
    cells = VoteCells()
    candidates, queries = np.repeat(np.arange(3), 40), np.tile(np.arange(40), 3)
    right = rng.random((120, 6)) < np.array([0.3, 0.6, 0.8])[candidates][:, None]
    cells.add(candidates, queries, np.where(right, 1, 2).astype(np.int32), np.ones(120, dtype=np.int32))
    fit = fit_votes(cells.table(8))
    resampled = fit.resampled(np.arange(3), 4000, rng, np.arange(1, 9))
    assert resampled.shape == (8, 4000, 3)
    assert np.allclose(resampled.mean(axis=1).T, fit.credit, atol=0.02)
    assert (resampled.std(axis=1) > 0.002).all()


def test_a_batch_that_flatters_one_kind_of_candidate_does_not_push_out_the_others():
    acr = {}
    for name, options in {"all": {}, "plain": {"resamples": 0, "kinds": 1, "classes": 1, "windows": 1.0}}.items():
        found = []
        for seed in range(12):
            environment = synth_bernoulli(5, deceptive=0.8, split_seed=seed)
            run = iapo.optimize(environment, budget=10_000, algorithm="psst-eb", seed=seed, **options)
            found.append(environment.acr(run.policy))
        acr[name] = np.mean(found)
    assert acr["all"] > acr["plain"] + 0.04


def beliefs_of(reward, credit, *, cost=0.0):
    """Beliefs of a grid with one context, rewards (P, N) and resampled credit (K = 1, B, P)."""
    n_candidates, n_max = reward.shape
    contexts = Contexts(("c",), np.ones((1, 1)), np.array([1.0]))
    grid = Grid(tuple(f"p{i}" for i in range(n_candidates)), n_max, contexts)
    resamples = Resamples(np.arange(n_candidates), np.array([1]), credit)
    return grid, SimpleNamespace(reward=reward[None], mean_costs=np.full(n_candidates, cost), resamples=resamples)


def test_the_kept_set_is_the_one_that_holds_the_best_in_most_resamples():
    alike = np.r_[np.full(60, 0.8), np.full(40, 0.4)]  # three of a kind, flattered in three resamples of five
    credit = np.stack([alike, alike - 0.01, alike - 0.02, np.full(100, 0.6)], axis=1)[None]
    grid, beliefs = beliefs_of(np.full((4, 1), 0.5), credit)
    merit = merits(grid, beliefs, np.arange(4)[None], 2)
    kept = halved(np.array([[0.64, 0.63, 0.62, 0.60]]), merit, np.random.default_rng(0))
    assert kept.tolist() == [[0, 3]]  # by estimates alone the steady one would go
    assert halved(np.array([[0.64, 0.63, 0.62, 0.60]]), np.zeros((1, 4)), np.random.default_rng(0)).tolist() == [[0, 1]]


def test_standing_is_the_best_and_the_least_over_all_scales():
    rng = np.random.default_rng(0)
    reward = rng.random((5, 7))
    reward[3] = np.nan
    grid, beliefs = beliefs_of(reward, np.zeros((1, 1, 5)), cost=0.05)
    rows = np.array([[0, 2, 3, 4]])
    stand = standing(grid, beliefs, rows, rng)
    q = reward - 0.05 * np.arange(1, 8)
    np.testing.assert_allclose(stand.best[0, [0, 1, 3]], q[[0, 2, 4]].max(axis=1))
    np.testing.assert_allclose(stand.least[0, [0, 1, 3]], q[[0, 2, 4]].min(axis=1))
    assert (stand.scale[0, [0, 1, 3]] == q[[0, 2, 4]].argmax(axis=1) + 1).all()
    assert stand.best[0, 2] == -np.inf


def test_windows_overlap_cover_more_queries_and_never_repeat_one_within_a_pull():
    pulled = []

    class Watched(type(votes_environment())):
        def pull(self, pulls):
            pulled.append(pulls)
            return super().pull(pulls)

    environment = votes_environment(n_candidates=8, n_queries=200)
    environment.__class__ = Watched
    list(start(environment, budget=8 * 4 * 10 * 3, algorithm="psst-eb", seed=0))
    first = pulled[0].queries.reshape(8, -1)
    n_each = first.shape[1]
    assert all(len(set(row)) == n_each for row in first.tolist())
    assert n_each < len(set(first.ravel().tolist())) <= 2 * n_each
    neighbours = sorted((len(set(first[0]) & set(row)) for row in first[1:]), reverse=True)
    assert neighbours[0] > n_each / 2
    pulled.clear()
    list(start(environment, budget=8 * 4 * 10 * 3, algorithm="psst-eb", seed=0, windows=1.0))
    assert (pulled[0].queries.reshape(8, -1) == pulled[0].queries[: len(pulled[0].queries) // 8]).all()


SWITCHES = [
    {"pool": False}, {"model": "none"}, {"model": "none", "method": "blocks"}, {"model": "pooled"}, {"kinds": 1}, {"classes": 1},
    {"windows": 1.0}, {"resamples": 0}, {"paired": False}, {"depth": 3}, {"method": "blocks"},
]  # fmt: skip


@pytest.mark.parametrize("options", SWITCHES, ids=str)
@pytest.mark.parametrize("environment", [votes_environment(), outcomes_environment()], ids=["votes", "outcomes"])
def test_every_switch_runs_within_the_budget_and_twice_alike(environment, options):
    runs = [iapo.optimize(environment, budget=500, algorithm="psst-eb", seed=1, **options) for _ in range(2)]
    assert runs[0].spent <= 500
    assert runs[0].policy == runs[1].policy
    last = [event for event in runs[0].events if isinstance(event, Estimated)][-1]
    assert (last.half_width[np.isfinite(last.half_width)] >= 0).all()


def test_without_a_model_the_estimates_are_what_was_observed():
    environment = votes_environment()
    events = list(start(environment, budget=2000, algorithm="psst-eb", seed=0, model="none"))
    assert all((plan.sizes[plan.sizes > 0] == environment.n_max).all() for plan in events if isinstance(plan, Planned))
    first = next(event for event in events if isinstance(event, Estimated))
    pulls_of_first = next(plan for plan in events if isinstance(plan, Planned)).repeats
    scaled = first.reward[0, :, 0] * pulls_of_first * environment.n_max  # credit of one vote: right answers over completions
    np.testing.assert_allclose(scaled, scaled.round(), atol=1e-3)


def test_without_pooling_an_estimate_comes_from_the_last_round():
    environment = votes_environment(n_candidates=8, n_queries=60)
    counts = [
        event.n_queries[:, 0].max()
        for event in start(environment, budget=3000, algorithm="psst-eb", seed=0, pool=False)
        if isinstance(event, Estimated)
    ]
    plans = [
        event.repeats.max()
        for event in start(environment, budget=3000, algorithm="psst-eb", seed=0, pool=False)
        if isinstance(event, Planned)
    ]
    assert counts[-1] <= plans[-1]


def test_blocks_and_subsets_agree_in_the_mean_and_at_the_ends():
    rng = np.random.default_rng(0)
    cells = rng.random((400, 1, 8))
    np.testing.assert_allclose(block_maxima(cells)[..., [0, 7]], best_of_n(cells)[..., [0, 7]])
    np.testing.assert_allclose(block_maxima(cells).mean(axis=0), best_of_n(cells).mean(axis=0), atol=0.02)
    assert block_maxima(cells)[..., 2].var() > best_of_n(cells)[..., 2].var()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth is at least 1, not 0"),
        ({"kinds": 0}, "kinds is at least 1, not 0"),
        ({"classes": 0}, "classes is at least 1, not 0"),
        ({"resamples": -1}, "resamples is at least 0, not -1"),
        ({"windows": 0.5}, "windows is at least 1, not 0.5"),
    ],
    ids=lambda value: str(value),
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(AlgorithmError, match=message):
        list(start(votes_environment(), budget=100, algorithm="psst-eb", **options))


@settings(max_examples=60, deadline=None)
@given(
    budget=st.integers(1, 900), n_candidates=st.integers(1, 9), seed=st.integers(0, 5), windows=st.sampled_from([1.0, 2.0, 3.5])
)
def test_no_budget_is_ever_passed(budget, n_candidates, seed, windows):
    environment = votes_environment(n_candidates=n_candidates, n_queries=6, seed=seed)
    run = iapo.optimize(environment, budget=budget, algorithm="psst-eb", seed=seed, windows=windows)
    assert run.spent <= budget
    assert len(run.policy.choices) == 2
