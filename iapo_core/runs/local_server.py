"""The local model's server: one per data folder, started when it is needed, outliving the tab, ended by a wish or by idling.

Where it answers stands in a file that its owner alone may read. A server is taken for ours if it answers to the key in there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from iapo_core.environments.endpoints import LOCAL, LOCAL_PRICE, Endpoint
from iapo_core.environments.local_model import GGUF, MODEL, Served, fetch_model, fetched_share, find_model, is_installed, launch
from iapo_core.errors import LocalModelError
from iapo_core.runs.catalogue import data_dir

NAME = f"{LOCAL}{MODEL}"
KEY_SLOT = "IAPO_LOCAL_MODEL_KEY"  # only ever filled in memory: the server makes its key up
SLOTS = 16
IDLE_S = 1800.0
_STALE_S = 120.0
_ANSWER_S = 5.0
_CHILDREN: list[subprocess.Popen[str]] = []
_FETCHERS: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class LocalServer:
    """A server that answers."""

    pid: int
    served: Served
    slots: int
    started_at: float

    @property
    def memory_bytes(self) -> int | None:
        """What it holds in memory, None where the system does not say."""
        with suppress(OSError, ValueError, IndexError):
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return None


@dataclass(frozen=True)
class LocalStatus:
    """What there is of the local model.

    Attributes:
        is_installed: llama.cpp is there.
        has_model: The model file is there.
        fetched: Share of a download under way, None where none is.
        problem: Why the last download from here did not come.
        server: None where it is down.
    """

    is_installed: bool
    has_model: bool
    fetched: float | None
    problem: str
    server: LocalServer | None


def models_dir() -> Path:
    """Return the folder of fetched models."""
    return data_dir() / "models"


def status() -> LocalStatus:
    """Look; nothing is started."""
    folder, ended = models_dir(), [fetcher.poll() for fetcher in _FETCHERS]
    share = fetched_share(folder)
    if share is None and None in ended:
        share = 0.0
    problem = _last_words() if share is None and any(ended) else ""
    return LocalStatus(is_installed(), find_model(folder) is not None, share, problem, running())


def running() -> LocalServer | None:
    """Return the server of this data folder if it answers."""
    try:
        noted = json.loads(_file().read_text(encoding="utf-8"))
        server = LocalServer(noted["pid"], Served(noted["base_url"], noted["api_key"]), noted["slots"], noted["started_at"])
    except (OSError, ValueError, KeyError):
        return None
    return server if _answers(server) else None


def ensure(*, slots: int = SLOTS, threads: int | None = None, idle_s: float = IDLE_S) -> LocalServer:
    """Return the running server, starting it where it is down; whoever asks at the same time gets the same one.

    Args:
        slots: Completions made at once.
        threads: Processor threads; half of the processors by default.
        idle_s: Seconds without work after which it ends by itself.

    Raises:
        LocalModelError: If llama.cpp or the model is missing, or it does not start.
    """
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]  # reaps those that have ended
    if (server := running()) is not None:
        return server
    gguf = find_model(models_dir())
    if is_installed() and gguf is None:
        raise LocalModelError(
            "The local model is not here yet; fetch it with iapo local-model fetch, or on the Run page (93 MB)."
        )
    with _alone():
        if (server := running()) is not None:
            return server
        process, served = launch(
            gguf or Path(GGUF), slots=slots, threads=threads or max((os.cpu_count() or 2) // 2, 1), idle_s=idle_s
        )
        _CHILDREN.append(process)
        server = LocalServer(process.pid, served, slots, time.time())
        _note(server)
    return server


def stop() -> bool:
    """End the server; returns False where none was running."""
    server = running()
    if server is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    until = time.monotonic() + 10
    while time.monotonic() < until and _answers(server):
        time.sleep(0.05)
    _file().unlink(missing_ok=True)
    return True


def fetch() -> Path:
    """Download the model and wait for it.

    Raises:
        LocalModelError: If it does not come.
    """
    return fetch_model(models_dir())


def fetch_aside() -> None:
    """Download the model in a process of its own; `status` says how far it is."""
    _FETCHERS[:] = [fetcher for fetcher in _FETCHERS if fetcher.poll() is None]
    if _FETCHERS or fetched_share(models_dir()) is not None or find_model(models_dir()) is not None:
        return
    with _log().open("wb") as log:
        command = [sys.executable, "-m", "iapo_core.cli", "local-model", "fetch"]
        _FETCHERS.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True))


def is_local(model: str) -> bool:
    """Return whether a decoding config names the model of this machine.

    Raises:
        LocalModelError: If it names one that is not there.
    """
    if not model.startswith(LOCAL):
        return False
    if model != NAME:
        raise LocalModelError(f"There is no local model {model!r}; there is {NAME!r}.")
    return True


def endpoint() -> tuple[Endpoint, dict[str, str]]:
    """Return where the model is reached, and its key by its slot; its server is started where it is down.

    Raises:
        LocalModelError: If it cannot be started.
    """
    served = ensure().served
    return Endpoint(f"openai/{served.model}", served.base_url, KEY_SLOT, LOCAL_PRICE), {KEY_SLOT: served.api_key}


def _log() -> Path:
    return data_dir() / "local-model.log"


def _last_words() -> str:
    lines = _log().read_text(encoding="utf-8", errors="replace").strip().splitlines() if _log().exists() else []
    return lines[-1] if lines else "The download ended without a word."


def _file() -> Path:
    return data_dir() / "local-model.json"


def _note(server: LocalServer) -> None:
    """Write where it answers, for its owner's eyes only, in one step."""
    noted = {
        "pid": server.pid,
        "base_url": server.served.base_url,
        "api_key": server.served.api_key,
        "slots": server.slots,
        "started_at": server.started_at,
    }
    draft = _file().with_suffix(".part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(noted, file)
    draft.replace(_file())


def _answers(server: LocalServer) -> bool:
    """Ask something that only the right key gets an answer to; one that is too busy to answer in time is up as well."""
    request = urllib.request.Request(  # noqa: S310 - an address that we wrote ourselves
        server.served.base_url.removesuffix("/v1") + "/tokenize",
        data=b'{"content": ""}',
        headers={"Authorization": f"Bearer {server.served.api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, ValueError) as error:
        return isinstance(getattr(error, "reason", error), TimeoutError) and _lives(server.pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time start the server; a lock that its holder left behind is broken after two minutes."""
    lock = data_dir() / "local-model.starting"
    while True:
        try:
            lock.mkdir()
        except FileExistsError:
            with suppress(OSError):
                if time.time() - lock.stat().st_mtime > _STALE_S:
                    lock.rmdir()
            time.sleep(0.1)
        else:
            break
    try:
        yield
    finally:
        with suppress(OSError):
            lock.rmdir()
