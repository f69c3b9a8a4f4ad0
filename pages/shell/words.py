"""Numbers, states and names as words for people, and as text that Markdown leaves alone."""

from __future__ import annotations

import re
import time

from iapo_core.evaluate import Verdict
from iapo_core.runs.store import RunRow
from iapo_core.task import Objective, Task

_ADDRESS = re.compile(r"(?<=[a-z]):(?=//)|\bwww(?=\.)|@(?=\S)", re.IGNORECASE)
_MARKDOWN = re.compile(r"([\\`*_\[\]()<>#!|$:~{}&^+=-])")

STATES = {
    "queued": (":material/schedule:", "gray", "Queued"),
    "running": (":material/play_arrow:", "blue", "Running"),
    "finished": (":material/check:", "green", "Finished"),
    "stopped": (":material/stop:", "orange", "Stopped"),
    "failed": (":material/error:", "red", "Failed"),
}
NEXT_STEP = {
    "queued": "It starts as soon as the worker is free, usually within seconds.",
    "running": "You can close this page; the run goes on, and its address brings you back.",
    "finished": "Look at the results, or take the policy away as a file.",
    "stopped": "What was paid for is kept: resume it, or look at the results so far.",
    "failed": "Resume it, or change the settings and run again.",
}
ORIGINS = {
    "recorded": (
        ":material/graphic_eq:",
        "green",
        "Real recording",
        "Completions of a real model, stored once and replayed. No model is called.",
    ),
    "simulated": (
        ":material/casino:",
        "orange",
        "SIMULATED",
        "Completions are drawn from made-up distributions. No model stands behind them.",
    ),
    "live": (":material/bolt:", "blue", "Live model", "Completions are bought from a model while the run goes on."),
    "table": (
        ":material/table_chart:",
        "gray",
        "Uploaded counts",
        "Answers that somebody counted; draws follow their frequencies.",
    ),
    "gone": (
        ":material/delete:",
        "gray",
        "Task deleted",
        "The task of this run was deleted. Its picks are kept; its texts are gone.",
    ),
}
STRATEGIES = {
    "majority_vote": "Majority vote: N completions vote, the most frequent answer wins.",
    "best_of_n": "Best of N: of N completions the one with the highest weighted score is kept.",
    "mixed": "Mixed: completions vote, and the best-scoring one with the winning answer is kept.",
}
VERDICTS = {
    "clear": ("green", "Clear", "The pick leads, and its lead is larger than chance explains."),
    "close": ("orange", "Close", "The pick leads, but its lead could be chance."),
    "tie": ("gray", "Too close to call", "Neither leads; take the cheaper one."),
    "unknown": ("gray", "Not known", "No lead over another prompt was measured, so nothing can be said of it."),
}
BEHIND = ("red", "Behind", "The runner-up does better where both were drawn; spend more, or take the runner-up.")
WHY = {
    "psst": "its rounds see enough queries, and it alone has a guarantee.",
    "psst-eb": "PSST's first round would see fewer than ten queries per prompt, PSST-EB sees many more.",
}
ALGORITHMS = {
    "psst": (
        "PSST",
        "Halves the arms of every context each round; every completion serves all contexts and all smaller N. Has a guarantee.",
    ),
    "psst-topk": (
        "PSST + Top-K",
        "First keeps each context's K best prompts at N = 1, then runs PSST on them. "
        "Better with little money; loses prompts that start weak and scale well.",
    ),
    "psst-eb": (
        "PSST-EB",
        "Samples few completions of many queries and reads larger N off a fitted curve. "
        "Better with little money; has no guarantee.",
    ),
}


def escape(text: str) -> str:
    """Return text that Markdown shows as it is: no links, images, directives or formulas.

    Backslashes do not stop bare addresses from becoming links, so an invisible word joiner breaks those.
    """
    return _MARKDOWN.sub(r"\\\1", _ADDRESS.sub("\\g<0>\u2060", " ".join(text.split())))


def listed(names: list[str], most: int = 6) -> str:
    """Name a few and count the rest."""
    head = ", ".join(names[:most])
    return head if len(names) <= most else f"{head} and {len(names) - most} more"


def number(value: float, digits: int = 3) -> str:
    """Format a figure with a fixed number of decimals, a dash where there is none."""
    return "–" if value != value else f"{value:,.{digits}f}"


def algorithm(name: str) -> str:
    """Return an algorithm's name for people."""
    return ALGORITHMS.get(name, (name, ""))[0]


def verdict(found: Verdict) -> tuple[str, str, str]:
    """Return a colour, a word and a sentence for how sure a pick is."""
    return BEHIND if found.margin_high < 0 else VERDICTS[found.verdict]


def interval(low: float, high: float, digits: int = 3) -> str:
    """Format a 95 % interval."""
    is_known = low == low and high == high
    return f"{low:,.{digits}f} to {high:,.{digits}f}" if is_known else "no interval"


def cost(value: float) -> str:
    """Format a cost with three significant digits."""
    return "–" if value != value else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def usd(value: float) -> str:
    """Format dollars: cents where they matter, more digits where they do not."""
    if value != value:
        return "unknown"
    return f"{value:,.2f} $" if value >= 0.1 or value == 0 else f"{value:.4f} $" if value >= 0.001 else f"{value:.2g} $"


def age(moment: float | None, now: float | None = None) -> str:
    """Say how long ago something was; moments are seconds since 1970."""
    if moment is None:
        return "–"
    seconds = max((time.time() if now is None else now) - moment, 0.0)
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def headline(run: RunRow) -> str:
    """Say in a few words how a run stands."""
    if run.state == "running":
        return f"Running: round {run.round} of {run.n_rounds}"
    if run.state == "finished":
        return f"Finished: {run.n_rounds} rounds, {run.spent:,} completions"
    if run.state == "stopped" and run.config.live is not None:
        return f"Stopped in round {run.round} of {run.n_rounds}" if run.n_rounds else "Stopped before its first round"
    if run.state == "stopped":
        return f"Stopped after {run.spent:,} of {run.config.budget:,} completions"
    return {"queued": "Queued: waiting for the worker", "failed": "Failed"}[run.state]


def duration(seconds: float) -> str:
    """Say how long something takes."""
    if seconds != seconds or seconds < 0:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def clock(run: RunRow) -> tuple[str, str, str]:
    """Return how long a run has waited, goes on or took: a label, a time and what it means."""
    now = time.time()
    if run.state == "queued" or run.started_at is None:
        return "Waiting", duration(now - run.created_at), "Since you started it."
    if run.state != "running":
        return "Took", duration((run.finished_at or now) - run.started_at), "From the first round to the end."
    n_done = run.round - 1
    if n_done < 1:
        return "Time left", "–", "Known after the first round."
    left = (now - run.started_at) / n_done * (run.n_rounds - n_done)
    return "Time left", duration(left), "From the pace of the rounds so far."


def unit(task: Task | None) -> str:
    """Return what cost is counted in."""
    return task.cost.unit if task else "the table's own unit"


def objective_titles(names: tuple[str, ...], task: Task | None) -> dict[str, str]:
    """Return a title per objective id."""
    titled: dict[str, Objective] = {o.id: o for o in task.objectives} if task else {}
    return {name: (titled[name].title or name) if name in titled else name for name in names}
