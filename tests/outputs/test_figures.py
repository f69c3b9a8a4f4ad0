"""Figures: tests read the records; drawings only have to be valid, escaped and small."""

import json
from dataclasses import replace

import numpy as np
import pytest

from iapo_core.arms import Contexts
from iapo_core.environment import default_grid
from iapo_core.evaluate import judge, score_queries, score_run
from iapo_core.events import Trimmed
from iapo_core.fronts import pareto_mask
from iapo_core.observations import observe
from iapo_core.optimize import optimize, start
from iapo_core.outputs import board, tradeoffs
from iapo_core.outputs import weights as weight_map
from iapo_core.outputs.bands import dominance_bands, draw_dominance_bands
from iapo_core.outputs.canvas import Labels, scale_ticks, shortened
from iapo_core.outputs.choices import contexts_by_prompt, draw_contexts_by_prompt
from iapo_core.outputs.curtain import draw_survival_curtain, survival_curtain
from iapo_core.outputs.curves import draw_scaling_curves, scaling_curves
from iapo_core.outputs.export import safe_csv
from iapo_core.outputs.history import History
from iapo_core.outputs.palette import MOST_HIGHLIGHTED, TOKENS, prompt_hues
from iapo_core.outputs.race import draw_race_of_finalists, race_of_finalists
from iapo_core.outputs.replay import draw_replay
from iapo_core.outputs.rounds import contexts_by_rounds, draw_contexts_by_rounds
from tests.conftest import outcomes_environment, votes_environment

EVIL = '<img src=x onerror=alert(1)><a href="https://evil.example">go</a>'


class Story:
    """A run with everything that the figures ask for."""

    def __init__(self, environment, budget=900, n_events=None, algorithm="psst"):
        self.environment = environment
        self.grid = default_grid(environment)
        events = list(start(environment, budget=budget, seed=0, algorithm=algorithm))
        self.events = events[:n_events]
        self.history = History.from_events(self.grid, self.events)
        self.budget = budget
        self.labels = Labels(
            candidates=environment.candidates,
            contexts=environment.contexts.ids,
            is_simulated=True,
            objectives=environment.objectives,
            hues=prompt_hues(self.history.ranking(), "light"),
        )
        self.observed = observe(environment, budget=budget, seed=0, algorithm=algorithm)
        self.scores = score_run(self.observed, environment.contexts)
        self.picks = [v.pick for v in judge(self.scores)]

    def drawn(self, theme, labels=None):
        labels = labels or self.labels
        history = self.history
        fronts = tradeoffs.fronts_across_scales(self.scores, 0, labels, self.picks[0])
        contexts, mixes = weight_map.map_contexts(len(self.environment.objectives))
        q = self.observed.estimates(contexts).q()
        records = [
            (board.trim_board(history, labels, 0), board.draw_trim_board),
            (board.trim_board(history, labels, 0, "estimate"), board.draw_trim_board),
            (board.trim_board(history, labels, 0, "samples"), board.draw_trim_board),
            (board.trim_board(history, labels, None), board.draw_trim_board),
            (survival_curtain(history, labels, self.budget), draw_survival_curtain),
            (race_of_finalists(history, labels, 0), draw_race_of_finalists),
            (contexts_by_rounds(history, labels), draw_contexts_by_rounds),
            (fronts, tradeoffs.draw_fronts),
            (fronts, tradeoffs.draw_fronts_by_scale),
            (dominance_bands(self.scores, 0, labels), draw_dominance_bands),
            (weight_map.policy_map(q, mixes, labels, (0.5, 0.2)), weight_map.draw_policy_map),
            (scaling_curves(self.scores, 0, labels), draw_scaling_curves),
            (contexts_by_prompt(self.picks, self.environment.candidates, labels), draw_contexts_by_prompt),
        ]
        return [(record, draw(record, theme)) for record, draw in records]


VOTES, OUTCOMES = Story(votes_environment()), Story(outcomes_environment())
STORIES = pytest.mark.parametrize("story", [VOTES, OUTCOMES], ids=["votes", "outcomes"])


@STORIES
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_is_valid_says_simulated_and_has_a_table(story, theme):
    for record, figure in story.drawn(theme):
        text = figure.to_json()
        assert json.loads(text)["data"]
        assert "SIMULATED" in figure.layout.title.subtitle.text
        assert record.alt
        table = record.table()
        assert len(table)
        assert len(table.columns) > 1
    replay = draw_replay(story.history, story.labels, 0, theme)
    assert len(replay.frames) == len(story.history.rounds) + 1


@STORIES
def test_other_peoples_names_are_escaped_everywhere(story):
    labels = replace(
        story.labels,
        candidates=tuple(EVIL + str(i) for i in range(len(story.labels.candidates))),
        contexts=tuple(EVIL + str(i) for i in range(len(story.labels.contexts))),
    )
    for _, figure in story.drawn("light", labels):
        text = json.dumps(figure.to_plotly_json(), default=lambda a: a.tolist())
        for piece in ("<img", "<a ", "</a>", "onerror=alert(1)><"):
            assert piece not in text


def test_the_board_agrees_with_the_last_trim():
    for cut_short in (4, 8, 12, None):
        story = Story(votes_environment(), n_events=cut_short)
        last = [e for e in story.events if isinstance(e, Trimmed)][-1]
        for c in range(len(story.environment.contexts)):
            record = board.trim_board(story.history, story.labels, c)
            np.testing.assert_array_equal(record.alive, last.alive[c])
            assert (record.left_round[~record.alive] > 0).all()
            assert record.value[record.alive].max(initial=story.history.n_rounds + 1) == story.history.n_rounds + 1
            p, n = record.leader
            assert record.alive[p, n - 1]
        assert story.history.n_alive == round(last.alive.sum(axis=(1, 2)).mean())


def test_an_empty_history_has_a_board_and_no_leader():
    story = VOTES
    empty = History.from_events(story.grid, [])
    record = board.trim_board(empty, story.labels, 0)
    assert record.alive.all()
    assert record.leader is None
    assert "All 32 arms compete" in record.title
    for figure in (
        board.draw_trim_board(record, "light"),
        draw_survival_curtain(survival_curtain(empty, story.labels, 10), "light"),
        draw_race_of_finalists(race_of_finalists(empty, story.labels, 0), "light"),
        draw_contexts_by_rounds(contexts_by_rounds(empty, story.labels), "light"),
    ):
        assert json.loads(figure.to_json())["data"]


def test_a_board_says_why_an_arm_left():
    record = board.trim_board(VOTES.history, VOTES.labels, 0)
    gone = np.argwhere(record.left_round == 1)[0]
    assert "left in round 1: " in record.hover[gone[0]][gone[1]]
    p, n = record.leader
    assert "still competes" in record.hover[p][n - 1]


def test_screened_prompts_are_named_as_such():
    story = Story(outcomes_environment(), algorithm="psst-topk")
    record = board.trim_board(story.history, story.labels, 0)
    assert story.history.rounds[0].purpose == "screen"
    assert record.alive.sum() == 1


def test_the_curtain_halves_and_ends_at_one():
    record = survival_curtain(VOTES.history, VOTES.labels, VOTES.budget)
    assert record.per_context[:, 1].tolist() == [32, 16, 8, 4, 2, 1]
    assert (record.anywhere >= record.per_context[:, 1]).all()
    assert (np.diff(record.spent) >= 0).all()
    assert record.spent[-1] <= VOTES.budget


def test_the_race_is_led_by_the_pick():
    record = race_of_finalists(VOTES.history, VOTES.labels, 0)
    pick = optimize(VOTES.environment, budget=VOTES.budget, seed=0).policy.choices[0]
    assert VOTES.environment.candidates[record.arms[0, 0]] == pick.candidate
    assert record.arms[0, 1] == pick.n
    assert record.left_round[0] == 0
    assert len(record.arms) <= 8


@STORIES
def test_the_front_is_what_no_arm_beats(story):
    record = tradeoffs.fronts_across_scales(story.scores, 0, story.labels, story.picks[0])
    mask = pareto_mask(record.cost.ravel(), record.quality.ravel())
    assert set(record.front.tolist()) <= set(np.flatnonzero(mask).tolist())
    assert (np.diff(record.volume) >= -1e-12).all()
    assert record.volume[-1] == pytest.approx(1.0)
    assert np.isnan(record.quality[~story.scores.is_known]).all()


def test_the_policy_map_agrees_with_the_best_arm():
    environment = outcomes_environment()
    contexts, mixes = weight_map.map_contexts(2)
    q = environment.q_values(environment.split.train, contexts)
    record = weight_map.policy_map(q, mixes, OUTCOMES.labels, (0.5, 0.1))
    flat = q.reshape(len(q), -1).argmax(axis=1)
    np.testing.assert_array_equal(record.candidates.ravel(), flat // environment.n_max)
    np.testing.assert_array_equal(record.scales.ravel(), flat % environment.n_max + 1)
    assert (record.margin >= 0).all()


def test_the_ribbon_marks_where_it_is_too_close_to_call():
    environment = votes_environment(n_queries=400)
    contexts = Contexts(("free",), np.ones((1, 1)), np.zeros(1))
    scores = score_queries(environment, environment.split.train, contexts)
    record = dominance_bands(scores, 0, VOTES.labels)
    assert (record.ribbon.candidates >= 0).all()
    widened = replace(scores, half_width=np.full_like(scores.half_width, 9.0))
    unsure = dominance_bands(widened, 0, VOTES.labels).is_unsure
    has_rival = record.ribbon.limits >= np.sort(scores.mean_costs)[1]  # below, only one prompt fits
    np.testing.assert_array_equal(unsure, has_rival)
    certain = replace(scores, half_width=np.zeros_like(scores.half_width))
    assert not dominance_bands(certain, 0, VOTES.labels).is_unsure.any()


def test_crossings_name_who_takes_over():
    environment = votes_environment(n_candidates=6, seed=3)
    scores = score_queries(environment, environment.split.train, environment.contexts)
    record = scaling_curves(scores, 0, Labels(environment.candidates, environment.contexts.ids))
    best = scores.reward[0].argmax(axis=0)
    for n, row in record.crossings:
        assert best[n - 1] == row != best[n - 2]
    assert len(record.crossings) == int((np.diff(best) != 0).sum())


def test_large_grids_stay_small_on_the_wire():
    environment = votes_environment(n_candidates=64, n_queries=30, n_max=64, n_contexts=27)
    story = Story(environment, budget=20_000)
    for _, figure in story.drawn("light"):
        assert len(figure.data) <= 40
        assert len(figure.to_json()) < 900_000


def test_hues_ticks_and_names():
    assert len(prompt_hues(range(30), "dark")) == MOST_HIGHLIGHTED
    for tokens in TOKENS.values():
        assert tokens.chosen not in tokens.prompts
    assert scale_ticks(32) == [1, 2, 4, 8, 16, 32]
    assert scale_ticks(24) == [1, 2, 4, 8, 16, 24]
    assert shortened("a" * 50, 30) == "a" * 20 + "…" + "a" * 9
    assert len(shortened("word " * 40, 30)) == 30


def test_csv_cells_cannot_be_formulas():
    text = safe_csv(("name", "x"), [("=HYPERLINK(1)", 1.5), ("@cmd", -2), ("plain", 3)])
    assert text.splitlines() == ["name,x", "'=HYPERLINK(1),1.5", "'@cmd,-2", "plain,3"]
