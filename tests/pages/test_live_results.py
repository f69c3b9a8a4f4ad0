"""Results and Export of runs that bought their completions: all from what is stored, nothing is called."""

import pytest

from iapo_core.events import Pulled
from iapo_core.runs.heldout import budget_for
from iapo_core.runs.worker import ensure_finished
from pages.shell import evidence
from tests.faults.living import CANARY, clever, live_config
from tests.faults.server import FaultServer
from tests.pages.test_pages import words_of

VIEWS = ("Trade-off", "Who wins where", "Scaling", "Contexts", "Texts", "Guarantee")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("IAPO_TEST_LIVE_KEY", CANARY)
    with FaultServer(text=clever) as running:
        yield running


@pytest.fixture
def finished(store, server):
    """A finished live run; from here on no request may come."""
    run_id = store.create_run(live_config(server, usd_per_million_prompt=1.0, usd_per_million_completion=2.0))
    ensure_finished(store, run_id)
    n_requests = server.stats.requests
    assert store.run(run_id).state == "finished"
    assert n_requests > 0
    yield run_id
    assert server.stats.requests == n_requests


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("source", ["heldout", "train"])
def test_every_view_of_a_live_run_opens(open_page, finished, view, source):
    page = open_page("results", run=finished, view=view)
    assert not page.exception
    if view in VIEWS[:3]:
        page.segmented_control(key="source").set_value(source).run()
        assert not page.exception
        assert page.get("plotly_chart")
        if source == "heldout":  # only the picks were checked there
            assert "Not drawn in the queries kept aside" in words_of(page)


def test_the_card_shows_the_estimate_that_the_run_stored(open_page, store, finished):
    choice = store.run(finished).policy.choices[0]
    page = open_page("results", run=finished)
    assert {metric.label: metric.value for metric in page.metric}["Utility"] == f"{choice.estimate.value:.3f}"
    n = evidence.of(store.run(finished)).n_drawn(evidence.of(store.run(finished)).picks[0], "heldout")
    assert n >= choice.n * choice.estimate.n_queries > 0
    assert f"from {choice.estimate.n_queries} queries kept aside and {n} completions of this prompt" in words_of(page)


def test_a_pick_whose_n_was_never_drawn_is_not_called_clear(open_page, store, server):
    config = live_config(server, budget=24, heldout_share=0.05).model_copy(update={"algorithm": "psst-eb"})
    run_id = store.create_run(config)
    ensure_finished(store, run_id)
    found = evidence.of(store.run(run_id))
    pick, verdict = found.picks[0], found.verdicts[0]
    assert found.most_drawn(pick.candidate) < pick.n
    assert (verdict.verdict, verdict.runner_up is None or verdict.margin != verdict.margin) == ("unknown", True)
    value, half = found.modelled(pick, 0)
    assert 0 < value <= 1
    page = open_page("results", run=run_id)
    said = words_of(page)
    assert ":gray-badge[Not known]" in said
    assert "Clear" not in said
    assert f"N = {pick.n} was never drawn" in said
    assert f"up to {found.most_drawn(pick.candidate)} completions per query" in said
    assert f"own model estimate is {value:.3f} ± {half:.3f}" in said
    assert "There is no other prompt" not in said
    assert "rather too high" not in said
    assert "Held-out check: 3 completions were left for it, the picks needed 6" in said
    assert f"extrapolated the picked N = {pick.n}" in said
    page = open_page("export", run=run_id)
    (picks,) = [frame.value for frame in page.dataframe if "Utility" in frame.value]
    assert set(picks["Utility"]) == {"not checked"}
    assert "Held-out check: 3 completions were left" in words_of(open_page("run", run=run_id))


def test_the_budget_that_a_check_asks_for_is_the_smallest_that_does():
    for share in (0.05, 0.2, 0.29, 0.5):
        for needed in range(2, 200):
            budget = budget_for(needed, share)
            assert int(share * budget) >= needed > int(share * (budget - 1))


def test_texts_stand_side_by_side_with_their_votes_and_dollars(open_page, finished):
    page = open_page("results", run=finished, view="Texts")
    tables = [frame.value for frame in page.dataframe if "Text" in frame.value]
    assert tables
    assert {"Answer", "Tokens", "Dollars"} <= set(tables[0])
    assert tables[0]["Dollars"].sum() == pytest.approx(len(tables[0]) * (10 * 1.0 + 2 * 2.0) / 1e6)
    assert any("Votes" in frame.value for frame in page.dataframe)


def test_other_weights_are_scored_without_a_call(open_page, finished):
    page = open_page("results", run=finished)
    page.slider(key="w:cost").set_value(2.0).run()
    assert not page.exception
    assert any("your weights" in caption.value for caption in page.caption)


def test_a_run_that_stopped_half_way_shows_what_it_has(open_page, store, server):
    run_id = store.create_run(live_config(server))
    server.text = _then_broke(server, after=60)
    ensure_finished(store, run_id)
    run = store.run(run_id)
    assert run.state == "failed"
    drawn = [event for _, event in store.events(run_id) if isinstance(event, Pulled)]
    assert drawn
    n_requests = server.stats.requests
    assert not open_page("run", run=run_id).exception
    page = open_page("results", run=run_id)
    assert not page.exception
    assert "queries that the run drew" in words_of(page)  # nothing was checked on held-out queries
    assert server.stats.requests == n_requests


def _then_broke(server, after):
    """Answer cleverly, then break every request."""

    def text(messages, nth):
        if nth > after:
            raise ConnectionResetError
        return clever(messages, nth)

    return text
