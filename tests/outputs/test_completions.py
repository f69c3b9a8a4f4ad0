"""Completions leave as files that say the same in every format, and hold no key."""

import csv
import io
import json

import pyarrow.parquet
import pytest

from iapo_core.environments import load_environment
from iapo_core.outputs import completions
from iapo_core.runs.evidence import evidence_environment
from iapo_core.runs.store import Store
from iapo_core.runs.worker import ensure_finished
from tests.faults.living import CANARY, SLOT, clever, live_config
from tests.faults.server import FaultServer
from tests.pages import tiny


@pytest.fixture
def live(tmp_path, monkeypatch):
    """A finished live run, one of whose prompts answers with a formula."""
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("IAPO_DATABASE_URL", raising=False)
    monkeypatch.setenv(SLOT, CANARY)
    store = Store.open()

    def text(messages, nth):
        said = clever(messages, nth)
        return "=HYPERLINK(1)" if messages[-1]["content"].startswith("Prompt 0") and nth % 2 else said

    with FaultServer(text=text) as server:
        run_id = store.create_run(live_config(server, usd_per_million_prompt=1.0, usd_per_million_completion=1.0))
        ensure_finished(store, run_id)
    run = store.run(run_id)
    yield evidence_environment(store, run, [event for _, event in store.events(run_id)]), server.stats.billed
    store.close()


def test_every_format_holds_every_completion(live):
    environment, n_billed = live
    objects = [json.loads(line) for line in completions.as_jsonl(environment).splitlines()]
    assert len(objects) == n_billed > 50
    assert sum(row["usd"] for row in objects) == sum(12e-6 for _ in objects)
    table = pyarrow.parquet.read_table(io.BytesIO(completions.as_parquet(environment))).to_pylist()
    assert table == objects
    lines = list(csv.DictReader(io.StringIO(completions.as_csv(environment).decode())))
    assert [line["query"] for line in lines] == [row["query"] for row in objects]
    assert {line["text"] for line in lines} >= {"'=HYPERLINK(1)", "yes"}  # no cell starts a formula
    for made in (completions.as_jsonl, completions.as_csv, completions.as_parquet):
        assert CANARY.encode() not in made(environment)


def test_pairs_prefer_the_better_answer_to_the_same_messages(tmp_path):
    tiny.write_tasks(tmp_path)
    environment = load_environment(tmp_path / tiny.VOTE)
    pairs = [json.loads(line) for line in completions.preference_pairs(environment, {"correct": 1.0}).splitlines()]
    assert pairs
    for pair in pairs:
        assert pair["score_chosen"] > pair["score_rejected"]
        assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("yes", "no")
        assert pair["prompt"][-1]["role"] == "user"
    mixed = [
        {one.text for one in environment.texts(p, q)} == {"yes", "no"}
        for p in range(len(environment.candidates))
        for q in range(environment.n_queries)
    ]
    assert len(pairs) == sum(mixed)
