"""The whole house from the street: a fresh server, a real browser, a run from start to board."""

import contextlib
import re
import sqlite3

import pytest

from tests.e2e.conftest import IDLE
from tests.pages import tiny

pytestmark = pytest.mark.browser
VIEWS = ("Who wins where", "Scaling", "Contexts", "Texts", "Guarantee")
PAGES = {"": "Home", "task": "Task", "run": "Run", "results": "Results", "compare": "Compare", "export": "Export"}


def settle(page) -> None:
    page.wait_for_selector(IDLE, timeout=30_000)


def off_origin(page, server) -> list[str]:
    return [url for url in page.requests_seen if not url.startswith((server.origin, "data:", "blob:"))]


def unexpected(page) -> list[str]:
    """Return console errors, except for the probes by which Streamlit finds its base path under a deep link."""
    return [
        f"{complaint}"
        for complaint in page.complaints
        if not re.search(r"/_stcore/(health|host-config)$", getattr(complaint, "location", {}).get("url", ""))
    ]


@pytest.mark.parametrize("path", PAGES)
def test_cold_deep_link_has_the_header(start_server, open_page, path):
    server = start_server()
    page = open_page()
    page.goto(f"{server.origin}/{path}")
    page.wait_for_selector(".st-key-status-line", timeout=30_000)
    settle(page)
    assert page.locator("[data-testid=stTopNavLink]").count() == len(PAGES)
    assert page.locator("h1").count() >= 1 or page.locator("text=No run is open").count() >= 1
    assert page.locator("[data-testid=stException]").count() == 0
    assert off_origin(page, server) == []
    assert unexpected(page) == []


def test_a_run_from_the_browser_to_the_board(start_server, open_page):
    server = start_server()
    page = open_page()
    page.goto(f"{server.origin}/run?task=tiny-vote")
    page.wait_for_selector(".st-key-start button", timeout=30_000)
    settle(page)
    page.click(".st-key-pace >> text=At once")
    settle(page)
    page.click(".st-key-start button")
    page.wait_for_selector("h1:has-text('Finished')", timeout=90_000)
    settle(page)
    assert "run=" in page.url
    assert "Round" in page.inner_text(".st-key-kpis")
    board = page.locator(".st-key-board")
    board.wait_for()
    cells = board.locator(".heatmaplayer image, .scatterlayer path.point")
    page.wait_for_function(
        "() => document.querySelectorAll('.st-key-board .heatmaplayer image, .st-key-board path.point').length > 0"
    )
    assert cells.count() > 0
    address = page.url
    other = open_page()
    other.goto(address)
    other.wait_for_selector("h1:has-text('Finished')", timeout=30_000)
    for each in (page, other):
        settle(each)
        each.wait_for_selector(".st-key-kpis :text('Errors')", timeout=20_000)
    assert other.inner_text(".st-key-kpis") == page.inner_text(".st-key-kpis")
    for each in (page, other):
        assert off_origin(each, server) == []
        assert unexpected(each) == []


def test_five_quick_clicks_make_one_run(start_server, open_page):
    server = start_server()
    page = open_page()
    page.goto(f"{server.origin}/run?task=tiny-vote")
    page.wait_for_selector(".st-key-start button", timeout=30_000)
    settle(page)
    page.evaluate("() => { for (let i = 0; i < 5; i++) document.querySelector('.st-key-start button').click() }")
    page.wait_for_selector("h1:has-text('Finished')", timeout=90_000)
    with contextlib.closing(sqlite3.connect(server.folder / "iapo.db")) as connection:
        (n_runs,) = connection.execute("SELECT COUNT(*) FROM runs WHERE id NOT LIKE 'showcase%'").fetchone()
    assert n_runs == 1


def test_a_click_on_the_board_leads_to_the_texts_of_that_arm(start_server, open_page):
    server = start_server()
    page = open_page()
    page.goto(f"{server.origin}/run?task=tiny-vote")
    page.wait_for_selector(".st-key-start button", timeout=30_000)
    settle(page)
    page.click(".st-key-pace >> text=At once")
    settle(page)
    page.click(".st-key-start button")
    page.wait_for_selector("h1:has-text('Finished')", timeout=90_000)
    settle(page)
    page.wait_for_selector(".st-key-board .heatmaplayer image")
    plot = page.locator(".st-key-board .plot-container .nsewdrag").first
    box = plot.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.375, box["y"] + box["height"] / 6)  # first prompt, second of four scales
    page.wait_for_selector(".st-key-board-texts button", timeout=20_000)
    page.click(".st-key-board-texts button")
    page.wait_for_selector("h1:has-text('Results')", timeout=20_000)
    settle(page)
    page.wait_for_selector("p:has-text('Sure, N = 2')", timeout=20_000)
    assert unexpected(page) == []


@pytest.mark.parametrize(
    "path", ["task", "task?task_view=Queries", "run", "results", *(f"results?view={v}" for v in VIEWS), "export"]
)
def test_bait_in_every_text_fetches_nothing(hostile, open_page, path):
    server, run_id = hostile
    page = open_page()
    page.goto(f"{server.origin}/{path}{'&' if '?' in path else '?'}task={tiny.HOSTILE}&run={run_id}")
    page.wait_for_selector(".st-key-status-line", timeout=30_000)
    settle(page)
    page.wait_for_timeout(500)  # whatever wants to be fetched is asked for by now
    assert off_origin(page, server) == []
    assert page.locator("a[href*='evil.invalid'], img[src*='evil.invalid']").count() == 0
    assert page.locator("[data-testid=stException]").count() == 0
    assert unexpected(page) == []
