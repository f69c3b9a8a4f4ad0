"""Mathematical answers: read by math-verify, compared by value, in a process of their own that may be killed.

math-verify takes LaTeX and plain expressions apart and has sympy rearrange them. Both may take for ever on what a model writes
(9^9^9^9), and its own time limits work in a main thread alone. So a child process does the work under a limit of CPU time that
the kernel keeps; a text that uses it up has no answer. CPU time, not the clock: a run that is replayed on a busy machine must
read the same answers.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from contextlib import suppress
from importlib.util import find_spec
from queue import Empty, Queue
from typing import IO

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import Compared

MAX_TEXT = 8_000  # characters from the end of a completion, where answers stand
START_S, ANSWER_S = 120.0, 120.0  # by the clock, should the child hang without using its CPU time
_REMEMBERED = 50_000


class Math(Compared):
    """The mathematical answer of a completion (LaTeX, boxed or plain) is equal in value to the gold one; x+1 is 1+x."""

    def __init__(self) -> None:
        if find_spec("math_verify") is None:
            raise ScorerError("it needs the package math-verify; install it with: pip install 'iapo[scorers]'.")

    def read(self, text: str) -> str | None:
        """Return the answer in its canonical form, None where there is none or reading it takes too long."""
        return _READER.read(text[-MAX_TEXT:], is_gold=False)

    def canonical(self, gold: str) -> str | None:
        """Return a gold answer in its canonical form; it is read as LaTeX as a whole where nothing marks a part of it."""
        return _READER.read(gold[-MAX_TEXT:], is_gold=True)


class Reader:
    """The child process, started when it is first needed and again after it was killed; one for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: Queue[bytes] = Queue()
        self._known: OrderedDict[tuple[str, bool], str | None] = OrderedDict()

    def read(self, text: str, *, is_gold: bool) -> str | None:
        """Return the canonical answer of a text; equal texts are read once."""
        key = (text, is_gold)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._asked(text, is_gold)
                if len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
            return self._known[key]

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def forget(self) -> None:
        """Leave the child to the process that was forked from here: pipes cannot be shared."""
        self._lock, self._child = threading.Lock(), None

    def _asked(self, text: str, is_gold: bool) -> str | None:
        child = self._child or self._started()
        try:
            _pipe(child.stdin).write(json.dumps([text, is_gold]).encode() + b"\n")
            _pipe(child.stdin).flush()
            line = self._answers.get(timeout=ANSWER_S)
        except (OSError, Empty):
            line = b""
        if not line:  # it used up its time or memory: the next text gets a new one
            self.close()
            return None
        answer = json.loads(line)
        return None if answer is None else str(answer)

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "iapo_core.scorers.maths_child"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._child, self._answers = child, Queue()
        threading.Thread(target=_pass_on, args=(child, self._answers), daemon=True, name="math answers").start()
        try:
            is_ready = bool(self._answers.get(timeout=START_S))
        except Empty:
            is_ready = False
        if not is_ready:
            self.close()
            raise ScorerError("The process that reads mathematical answers does not start; install 'iapo[scorers]' again.")
        return child


def _pass_on(child: subprocess.Popen[bytes], answers: Queue[bytes]) -> None:
    """Pass the child's lines on, and an empty one at its end; then give its pipes back."""
    for line in _pipe(child.stdout):
        answers.put(line)
    answers.put(b"")
    _pipe(child.stdout).close()
    with suppress(OSError):  # what was still to be written
        _pipe(child.stdin).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - opened as a pipe
    return stream


_READER = Reader()
atexit.register(_READER.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_READER.forget)
