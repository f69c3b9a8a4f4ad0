"""Record a task's completions from the local model, or from any OpenAI-compatible server.

    python sample_tasks/record.py sample_tasks/topics --samples 32
    python sample_tasks/record.py my_task --base-url https://host/v1 --api-key-env MY_KEY --tokens usage

Each (prompt, decoding, query) gets `--samples` completions, in blocks that are one request each. What has come is kept line by
line in `.recording.jsonl` beside the task, so that an interrupted recording goes on where it stopped; when every block is
there, `completions.parquet` is written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iapo_core.environments.local_model import Served, fetch_model, serve
from iapo_core.environments.recorded import COLUMNS, load_recording
from iapo_core.errors import IapoError, RecordingError
from iapo_core.runs.catalogue import data_dir
from iapo_core.task import DecodingConfig, Prompt, Query, Task
from iapo_core.task_file import read_task

BLOCK = 16
_TEXT, _COUNT = pa.string(), pa.int32()
SCHEMA = pa.schema(
    [
        ("prompt", _TEXT), ("decoding", _TEXT), ("query", _TEXT), ("sample", _COUNT), ("text", _TEXT), ("finish_reason", _TEXT),
        ("prompt_tokens", _COUNT), ("completion_tokens", _COUNT), ("latency_s", pa.float32()), ("error", _TEXT),
    ]
)  # fmt: skip
Key = tuple[str, str, str, int]
Asked = tuple[Prompt, DecodingConfig, Query, int]


def missing_blocks(task: Task, n_samples: int, done: set[Key]) -> Iterator[Asked]:
    """Yield what is still to be asked: a pass over everything per block, so that a stopped recording covers every pair."""
    for block in range(0, n_samples, BLOCK):
        for prompt in task.prompts:
            for decoding in task.decoding:
                for query in task.queries:
                    if (prompt.id, decoding.id, query.id, block) not in done:
                        yield prompt, decoding, query, block


def ask(served: Served, task: Task, asked: Asked, tokens: str) -> list[dict[str, Any]]:
    """Ask for one block of completions; the seed follows from what is asked, so a recording can be repeated.

    Raises:
        RecordingError: If the server returns another number of completions than asked for.
    """
    prompt, decoding, query, block = asked
    config = [] if len(task.decoding) == 1 else [decoding.id]
    name = "/".join([task.id, prompt.id, *config, query.id, str(block)])
    began = time.monotonic()
    answer = _post(
        served,
        f"{served.base_url}/chat/completions",
        model=decoding.model.removeprefix("openai/"),
        messages=prompt.render(query.fields),
        n=BLOCK,
        seed=zlib.crc32(name.encode()) & 0x7FFFFFFF,
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        max_tokens=decoding.max_tokens,
    )
    latency_s = round(time.monotonic() - began, 3)
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    if len(choices) != BLOCK:
        raise RecordingError(f"The server returned {len(choices)} completions for n = {BLOCK}; record from one that honours `n`.")
    usage = answer.get("usage") or {}
    rows = []
    for choice in choices:
        text = choice["message"].get("content") or ""
        n_tokens = (
            _count(served, text, choice["finish_reason"]) if tokens == "tokenize" else usage.get("completion_tokens", 0) // BLOCK
        )
        rows.append(
            {
                "prompt": prompt.id, "decoding": decoding.id, "query": query.id, "sample": block + choice["index"], "text": text,
                "finish_reason": choice["finish_reason"], "prompt_tokens": usage.get("prompt_tokens", 0),
                "completion_tokens": n_tokens, "latency_s": latency_s, "error": None,
            }
        )  # fmt: skip
    return rows


def record(task: Task, served: Served, journal: Path, n_samples: int, tokens: str) -> None:
    """Ask for every missing block and keep each as it comes."""
    kept = read_journal(journal)
    draft = journal.with_suffix(".part")  # a line that was cut off must not stand before new ones
    draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
    draft.replace(journal)
    done = {(row["prompt"], row["decoding"], row["query"], row["sample"]) for row in kept}
    waiting = list(missing_blocks(task, n_samples, done))
    began = time.monotonic()
    with journal.open("a", encoding="utf-8") as file:
        for i, asked in enumerate(waiting, start=1):
            for row in ask(served, task, asked, tokens):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            left_s = (time.monotonic() - began) / i * (len(waiting) - i)
            if sys.stderr.isatty() or i % 50 == 0:
                print(f"\r{i}/{len(waiting)} requests, about {left_s / 60:.0f} min left", end="", file=sys.stderr, flush=True)
    if waiting:
        print(file=sys.stderr)


def read_journal(journal: Path) -> list[dict[str, Any]]:
    """Return what has come so far; a last line that was cut off is dropped, its whole block is asked for again."""
    rows: list[dict[str, Any]] = []
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    n_per_block: dict[Key, int] = {}
    for row in rows:
        key = (row["prompt"], row["decoding"], row["query"], row["sample"] // BLOCK)
        n_per_block[key] = n_per_block.get(key, 0) + 1
    whole = [r for r in rows if n_per_block[r["prompt"], r["decoding"], r["query"], r["sample"] // BLOCK] >= BLOCK]
    return list({(r["prompt"], r["decoding"], r["query"], r["sample"]): r for r in whole}.values())


def write_parquet(task: Task, rows: list[dict[str, Any]], folder: Path) -> Path:
    """Write the recording and check it against its task.

    Raises:
        RecordingError: If it does not cover the task; the file is not kept then.
    """
    ordered = sorted(rows, key=lambda r: (r["prompt"], r["decoding"], r["query"], r["sample"]))
    path = folder / (task.recording or "completions.parquet")
    draft = path.with_suffix(".part.parquet")
    table = pa.table({name: [row[name] for row in ordered] for name in COLUMNS}, schema=SCHEMA)
    pq.write_table(table, draft, compression="zstd", compression_level=19)
    try:
        load_recording(task.model_copy(update={"recording": draft.name}), folder, seed=0)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _count(served: Served, text: str, finish_reason: str) -> int:
    """Count a completion's tokens; the server reports the usage of one choice only. A finished one has an end token more."""
    return len(_post(served, f"{served.base_url.removesuffix('/v1')}/tokenize", content=text)["tokens"]) + (
        finish_reason == "stop"
    )


def _post(served: Served, url: str, **body: Any) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise RecordingError(f"{served.base_url!r} is no http address.")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {served.api_key}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return dict(json.load(answer))
    except OSError as error:
        raise RecordingError(f"{url} does not answer ({error}); what has come is kept, start again to go on.") from error


def main(argv: list[str] | None = None) -> int:
    """Record a task; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", type=Path, help="folder with a task.json")
    parser.add_argument("--samples", type=int, default=32, help=f"completions per pair, a multiple of {BLOCK} (default 32)")
    parser.add_argument("--base-url", help="an OpenAI-compatible server, ending in /v1; the local model where left out")
    parser.add_argument("--api-key-env", default="OPENAI_API_KEY", help="environment variable that holds the key for --base-url")
    parser.add_argument("--tokens", choices=("tokenize", "usage"), default="tokenize", help="how completion tokens are counted")
    parser.add_argument("--check", action="store_true", help="ask for nothing; say what the recording holds")
    arguments = parser.parse_args(argv)
    try:
        task, folder = read_task(arguments.task), arguments.task
        if arguments.check:
            environment = load_recording(task, folder, seed=0)
            print(f"{task.id}: {len(task.prompts)} prompts x {len(task.queries)} queries x {environment.n_stored} completions.")
            return 0
        if arguments.samples < 1 or arguments.samples % BLOCK:
            raise RecordingError(f"--samples is a multiple of {BLOCK}, not {arguments.samples}.")
        journal = folder / ".recording.jsonl"
        if arguments.base_url:
            source = nullcontext(Served(arguments.base_url.rstrip("/"), os.environ.get(arguments.api_key_env, "")))
        else:
            source = serve(fetch_model(data_dir() / "models"), slots=BLOCK)
        with source as served:
            record(task, served, journal, arguments.samples, arguments.tokens)
        print(f"Written to {write_parquet(task, read_journal(journal), folder)}.")
    except IapoError as error:
        print(f"record: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
