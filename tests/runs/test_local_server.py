"""One server per data folder: started once, found again, ended by a wish; a stand-in answers where llama.cpp would."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from iapo_core import cli
from iapo_core.environments.local_model import GGUF, Served
from iapo_core.errors import LocalModelError
from iapo_core.runs import local_server

STAND_IN = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
key = sys.stdin.readline().strip()
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.headers["Authorization"] == f"Bearer {key}" else 401)
        self.end_headers()
    def log_message(self, *_):
        pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


@pytest.fixture
def launched(home, monkeypatch):
    """Stand-ins instead of llama.cpp; ended with the test."""
    processes = []

    def launch(gguf, *, slots, threads, idle_s):
        assert gguf.exists()
        process = subprocess.Popen(
            [sys.executable, "-c", STAND_IN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        key = f"key-{len(processes)}"
        process.stdin.write(f"{key}\n")
        process.stdin.close()
        address = process.stdout.readline().strip()
        process.stdout.close()
        processes.append(process)
        return process, Served(f"{address}/v1", key)

    monkeypatch.setattr(local_server, "launch", launch)
    monkeypatch.setattr(local_server, "is_installed", lambda: True)
    local_server.models_dir().mkdir(parents=True)
    (local_server.models_dir() / GGUF).write_bytes(b"a model")
    yield processes
    local_server._CHILDREN.clear()
    for process in processes:
        process.kill()
        process.wait()


def test_several_at_once_start_one_server(launched):
    found = []
    threads = [threading.Thread(target=lambda: found.append(local_server.ensure())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(launched) == 1
    assert {server.pid for server in found} == {launched[0].pid}
    assert local_server.running() == found[0]


def test_where_it_answers_is_for_its_owner_alone(launched):
    local_server.ensure()
    assert stat.S_IMODE(os.stat(local_server.data_dir() / "local-model.json").st_mode) == 0o600


def test_stop_ends_it_and_the_next_one_is_new(launched):
    first = local_server.ensure()
    assert local_server.stop()
    assert launched[0].wait(10) != 0
    assert local_server.running() is None
    assert not local_server.stop()
    assert local_server.ensure().served.api_key != first.served.api_key


def test_a_killed_server_is_started_again(launched):
    local_server.ensure()
    launched[0].kill()
    launched[0].wait()
    assert local_server.status().server is None
    assert local_server.ensure().pid == launched[1].pid


def test_a_stranger_at_the_address_is_not_taken_for_ours(launched):
    server = local_server.ensure()
    local_server._note(local_server.LocalServer(server.pid, Served(server.served.base_url, "another key"), 16, 0.0))
    assert local_server.running() is None
    assert not local_server.stop()
    assert launched[0].poll() is None


def test_a_server_that_is_too_busy_to_answer_is_not_doubled(launched, monkeypatch):
    server = local_server.ensure()
    monkeypatch.setattr(local_server, "_ANSWER_S", 0.2)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert local_server.ensure() == server
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert len(launched) == 1


def test_a_lock_that_was_left_behind_is_broken(launched):
    lock = local_server.data_dir() / "local-model.starting"
    lock.mkdir()
    os.utime(lock, (1, 1))
    assert local_server.ensure().pid == launched[0].pid
    assert not lock.exists()


def test_what_is_missing_is_said(launched, capsys, monkeypatch):
    (local_server.models_dir() / GGUF).unlink()
    monkeypatch.setattr(local_server, "find_model", lambda folder: None)
    with pytest.raises(LocalModelError, match="fetch it with iapo local-model fetch"):
        local_server.ensure()
    with pytest.raises(LocalModelError, match="There is no local model 'local/other'"):
        local_server.is_local("local/other")
    assert cli.main(["local-model"]) == 0
    assert "Model: not here" in capsys.readouterr().out
    assert not launched


def test_the_command_line_starts_and_stops_it(launched, capsys):
    assert cli.main(["local-model", "start"]) == 0
    assert f"process {launched[0].pid}" in capsys.readouterr().out
    assert cli.main(["local-model", "stop"]) == 0
    assert "was stopped" in capsys.readouterr().out
