"""A task of one's own, from the street: files through a real browser, a cell typed over, and the task in the catalogue."""

import json
import time

import pytest

from tests.e2e.test_browser import off_origin, settle, unexpected
from tests.pages import tiny

pytestmark = pytest.mark.browser
PROMPTS = 'id,template\nplain,"{question}"\nword,"In one word: {question}"\nlong,one,two\n'
QUERIES = "\n".join(json.dumps({"question": f"Is {i} even?", "gold": "yes" if i % 2 == 0 else "no"}) for i in range(6))


def only(folder, pattern):
    """The one JSON file that matches."""
    (path,) = folder.glob(pattern)
    return json.loads(path.read_text(encoding="utf-8"))


def wait_until(holds):
    """Poll for a minute: a page sends what was typed a moment later."""
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, "what was typed never arrived"
        time.sleep(0.2)


def test_files_become_a_task_in_the_catalogue(start_server, open_page, tmp_path):
    (tmp_path / "prompts.csv").write_text(PROMPTS, encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(QUERIES, encoding="utf-8")
    server = start_server()
    page = open_page()
    page.goto(f"{server.origin}/task")
    page.click(".st-key-task-new button", timeout=60_000)
    page.wait_for_selector(".st-key-trouble", timeout=60_000)
    settle(page)
    page.set_input_files(".st-key-prompts-door input[type=file]", tmp_path / "prompts.csv")
    page.click(".st-key-prompts-add button", timeout=60_000)
    page.wait_for_selector("text=These 2 prompts were added", timeout=60_000)
    settle(page)
    table = page.locator(".st-key-section [data-testid=stDataFrame]").last
    table.scroll_into_view_if_needed()
    settle(page)
    box = table.bounding_box()
    page.mouse.dblclick(box["x"] + 80, box["y"] + 35 + 17)  # the first row's id
    page.wait_for_selector("textarea.gdg-input", timeout=20_000)
    page.keyboard.press("Control+A")
    page.keyboard.type("bare")
    page.wait_for_timeout(500)  # the grid takes over what stands in its box a moment later
    page.keyboard.press("Enter")
    page.fill(".st-key-draft-title input", "Even numbers")
    page.keyboard.press("Enter")
    wait_until(lambda: only(server.folder, "drafts/*.json")["prompts"][0]["id"] == "bare")
    wait_until(lambda: only(server.folder, "drafts/*.json")["title"] == "Even numbers")
    page.reload()
    page.wait_for_selector(".st-key-trouble", timeout=60_000)
    settle(page)
    page.click("button:has-text('Queries')", timeout=60_000)
    page.wait_for_selector(".st-key-queries-door", timeout=60_000)
    settle(page)
    page.set_input_files(".st-key-queries-door input[type=file]", tmp_path / "queries.jsonl", timeout=60_000)
    page.click(".st-key-queries-add button", timeout=60_000)
    page.wait_for_selector("text=Ready to be saved", timeout=60_000)
    page.click(".st-key-draft-save button:not([disabled])", timeout=60_000)
    page.wait_for_selector(".st-key-task-delete-box", timeout=60_000)
    task = only(server.folder, "tasks/even-numbers-*/task.json")
    assert [prompt["id"] for prompt in task["prompts"]] == ["bare", "word"]
    assert [query["gold"] for query in task["queries"]] == ["yes", "no"] * 3
    assert task["id"] in page.url
    assert list((server.folder / "drafts").iterdir()) == []
    assert off_origin(page, server) == []
    assert unexpected(page) == []
    page.click(".st-key-task-run button")
    page.wait_for_selector("h1:has-text('Set up a run')", timeout=60_000)


def test_bait_in_a_draft_fetches_nothing(hostile, open_page):
    server, _ = hostile
    page = open_page()
    page.goto(f"{server.origin}/task?task={tiny.HOSTILE}")
    page.click(".st-key-task-duplicate button", timeout=60_000)
    page.wait_for_selector(".st-key-trouble", timeout=60_000)
    for section in ("Queries", "Models and decoding", "Objectives", "Contexts", "Prompts"):
        settle(page)
        page.click(f".st-key-edit button:has-text('{section}')")
        settle(page)
    page.click("text=Edit a prompt turn by turn")
    page.click(".st-key-draft-close button")
    page.wait_for_selector(".st-key-task-drafts", timeout=60_000)
    page.click(".st-key-task-drafts button")
    page.wait_for_timeout(1_000)  # whatever wants to be fetched is asked for by now
    assert off_origin(page, server) == []
    assert page.locator("a[href*='evil.invalid'], img[src*='evil.invalid']").count() == 0
    assert page.locator("[data-testid=stException]").count() == 0
    assert unexpected(page) == []
