"""What people do in the browser to buy a live run, and what befalls its processes."""

import contextlib
import os
import signal
import time

from tests.e2e.test_browser import settle

PATIENCE_S = 120


def fill(page, key, value):
    """Type into a field until the page has taken it: a run of the script that ends meanwhile puts the old value back."""
    box = page.locator(f".st-key-{key} input")
    for _ in range(5):
        box.fill(str(value))
        box.press("Enter")
        page.wait_for_timeout(300)
        settle(page)
        if box.count() == 0 or box.input_value() == str(value):  # a field for a key goes away with it
            return
    raise AssertionError(f"the field {key} does not take {value!r}")


def upload_task(page, dashboard, text):
    """Bring a task file through the Task page, save it, and go on to the Run page."""
    page.goto(f"{dashboard.origin}/task")
    page.wait_for_selector(".st-key-task-file-box button", timeout=60_000)
    settle(page)
    page.click(".st-key-task-file-box button")
    file = {"name": "mine.json", "mimeType": "application/json", "buffer": text.encode()}
    page.set_input_files(".st-key-task-file input[type=file]", file)
    page.wait_for_selector(".st-key-task-file-open button:not([disabled])", timeout=60_000)
    page.click(".st-key-task-file-open button")
    page.wait_for_selector(".st-key-draft-save button:not([disabled])", timeout=60_000)
    settle(page)
    page.click(".st-key-draft-save button")
    page.wait_for_selector(".st-key-task-run button", timeout=60_000)
    settle(page)
    page.click(".st-key-task-run button")
    page.wait_for_selector(".st-key-start button", timeout=60_000)
    settle(page)


def begin(page):
    """Press Start; returns the run's id, which the address names."""
    page.click(".st-key-start button")
    page.wait_for_url("**run=**", timeout=60_000)
    return page.url.split("run=")[1].split("&")[0]


def wait_until(condition, what, patience_s=PATIENCE_S):
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, f"waited {patience_s} s for {what}"
        time.sleep(0.02)


def kill_workers(dashboard):
    workers = dashboard.workers()
    assert workers
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
