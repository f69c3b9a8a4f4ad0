"""A bench that is begun in a browser outlives its tab, and its address brings it back."""

import pytest

from tests.e2e.test_browser import off_origin, settle, unexpected

pytestmark = pytest.mark.browser


def test_a_bench_outlives_its_tab(start_server, open_page):
    server = start_server()
    page = open_page()
    page.goto(f"{server.origin}/compare")
    page.wait_for_selector(".st-key-compare-start button", timeout=30_000)
    settle(page)
    for _ in range(5):
        page.click(".st-key-compare-start button")
    page.wait_for_url("**bench=*", timeout=60_000)
    address = page.url
    page.close()
    again = open_page()
    again.goto(address)
    again.wait_for_selector(".st-key-bench-status >> text=Finished", timeout=240_000)
    again.wait_for_selector(".js-plotly-plot", timeout=60_000)
    settle(again)
    assert again.url == address
    assert again.locator("[data-testid=stException]").count() == 0
    assert len(list((server.folder / "benches").glob("*/request.json"))) == 1
    assert off_origin(again, server) == []
    assert unexpected(again) == []
