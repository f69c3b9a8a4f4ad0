"""The whole house from the street: a fresh server, a real browser, a run from start to board."""

import re

import pytest

from tests.e2e.conftest import IDLE

pytestmark = pytest.mark.browser
PAGES = {"": "Home", "task": "Task", "run": "Run", "results": "Results", "export": "Export"}


def settle(page) -> None:
    page.wait_for_selector(IDLE, timeout=30_000)


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
    assert [url for url in page.requests_seen if not url.startswith((server.origin, "data:", "blob:"))] == []
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
    settle(other)
    assert other.inner_text(".st-key-kpis") == page.inner_text(".st-key-kpis")
    for each in (page, other):
        assert [url for url in each.requests_seen if not url.startswith((server.origin, "data:", "blob:"))] == []
        assert unexpected(each) == []
