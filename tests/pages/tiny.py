"""Two small recorded tasks with texts of our own, so that the pages can be tested without the bundled recordings."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

N_STORED = 4
VOTE, BEST, HOSTILE = "tiny-vote", "tiny-best", "tiny-hostile"
BAIT = (
    "![x](http://evil.invalid/a.png) <img src=http://evil.invalid/b.png onerror=alert(1)> "
    "<span style=background:url(http://evil.invalid/c.png)>x</span> [y](http://evil.invalid) :red[z] $1$ </script>"
)


def write_tasks(folder: Path) -> None:
    """Write both task folders."""
    _write(folder / VOTE, *_vote())
    _write(folder / BEST, *_best())


def write_hostile(folder: Path) -> None:
    """Write a task whose every free text tries to fetch something from elsewhere."""
    task, _ = _vote()
    task["title"] = task["description"] = BAIT
    for part in ("objectives", "contexts", "prompts"):
        task[part] = [{**item, "title": BAIT} for item in task[part]]
    task["prompts"] = [{**p, "template": f"{BAIT} {{text}}"} for p in task["prompts"]]
    task["queries"] = [{**q, "fields": {"text": BAIT}} for q in task["queries"]]
    _write(folder / HOSTILE, task, lambda prompt, query: f"{'no' if prompt == 'wrong' else 'yes'} {BAIT}")


def _vote():
    """Prompt `sure` is right 9 times in 10, `guess` half the time, `wrong` seldom."""
    rng = np.random.default_rng(1)
    accuracy = {"sure": 0.9, "guess": 0.5, "wrong": 0.2}
    queries = [{"id": f"q{i}", "fields": {"text": f"Is {2 * i} even?"}, "gold": "yes"} for i in range(1, 11)]
    task = {
        "title": "Tiny vote",
        "description": "Written for the tests.",
        "strategy": "majority_vote",
        "objectives": [{"id": "correct", "title": "Correct answer", "scorer": "choice", "params": {"choices": ["yes", "no"]}}],
        "contexts": [
            {"id": "free", "title": "accuracy only", "weights": {"correct": 1.0}, "cost_weight": 0.0},
            {"id": "dear", "title": "cost matters", "weights": {"correct": 1.0}, "cost_weight": 1.0},
        ],
        "prompts": [{"id": name, "title": name.capitalize(), "template": "{text}"} for name in accuracy],
        "queries": queries,
    }
    return task, lambda prompt, query: "yes" if rng.random() < accuracy[prompt] else "no"


def _best():
    """Prompt `short` writes simply and names no key word; `full` names every key word in long words."""
    texts = {
        "short": "It is so. It was so. We all saw it go by.",
        "full": "Photosynthesis transforms electromagnetic sunlight and atmospheric dioxide into carbohydrates.",
    }
    gold = ["photosynthesis", "sunlight", "carbohydrates"]
    queries = [{"id": f"q{i}", "fields": {"topic": f"topic {i}"}, "gold": gold} for i in range(1, 9)]
    task = {
        "title": "Tiny best",
        "description": "Two objectives that pull apart.",
        "strategy": "best_of_n",
        "objectives": [
            {"id": "simple", "title": "Simple language", "scorer": "simplicity"},
            {"id": "complete", "title": "Key words covered", "scorer": "keywords"},
        ],
        "contexts": [
            {"id": "plain", "title": "mostly simple", "weights": {"simple": 0.9, "complete": 0.1}, "cost_weight": 0.0},
            {"id": "rich", "title": "mostly complete", "weights": {"simple": 0.1, "complete": 0.9}, "cost_weight": 0.0},
        ],
        "prompts": [{"id": name, "title": name.capitalize(), "template": "Explain {topic}."} for name in texts],
        "queries": queries,
    }
    return task, lambda prompt, query: texts[prompt]


def _write(folder: Path, task: dict, answer) -> None:
    folder.mkdir(parents=True)
    task = {
        "schema": 1,
        "id": folder.name,
        "origin": "recorded",
        "n_max": N_STORED,
        "cost": {"unit": "1000 completion tokens", "per_prompt_token": 0.0, "per_completion_token": 0.01},
        "decoding": [{"id": "t1", "model": "test/tiny"}],
        "recording": "completions.parquet",
        **task,
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    rows = [
        {
            "prompt": p["id"],
            "decoding": "t1",
            "query": q["id"],
            "sample": s,
            "text": answer(p["id"], q["id"]),
            "finish_reason": "stop",
            "prompt_tokens": 10,
            "completion_tokens": 5 if p["id"] in ("short", "guess", "wrong") else 20,
            "latency_s": 0.1,
            "error": None,
        }
        for p in task["prompts"]
        for q in task["queries"]
        for s in range(N_STORED)
    ]
    schema = pyarrow.schema(
        [
            ("prompt", pyarrow.string()),
            ("decoding", pyarrow.string()),
            ("query", pyarrow.string()),
            ("sample", pyarrow.int64()),
            ("text", pyarrow.string()),
            ("finish_reason", pyarrow.string()),
            ("prompt_tokens", pyarrow.int64()),
            ("completion_tokens", pyarrow.int64()),
            ("latency_s", pyarrow.float64()),
            ("error", pyarrow.string()),
        ]
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), folder / "completions.parquet")
