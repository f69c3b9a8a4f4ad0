"""A worker that dies (or is put to sleep) by a signal at a chosen point; it runs in a process of its own."""

import itertools
import os
import resource
import signal
from multiprocessing import get_context
from pathlib import Path

from iapo_core.environments.routes import Direct
from iapo_core.runs.ledger import Ledger
from iapo_core.runs.store import Store
from iapo_core.runs.worker import work, work_keyed

LEASE_S = 0.2
ENVIRONMENT = ("IAPO_DATA_DIR", "IAPO_DATABASE_URL", "IAPO_TEST_LIVE_KEY")
_started = []


def barrier(n):
    """Return a gate that `n` spawned processes pass together."""
    return _context().Barrier(n)


def _context():
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.dying"])
    return context


def spawn(target, *arguments):
    """Start `target(url, ...)` in a fresh process that shares nothing with this one but the database."""
    context = _context()
    handed_on = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    process = context.Process(target=_begin, args=(handed_on, target, arguments))
    process.start()
    _started.append(process)
    return process


def bury():
    """End whatever still lives, sleepers too: multiprocessing would wait for them at exit for ever."""
    while _started:
        process = _started.pop()
        process.kill()
        process.join()


def _begin(handed_on, target, arguments):
    for name in ENVIRONMENT:
        os.environ.pop(name, None)
    os.environ.update(handed_on)
    target(*arguments)


def work_until_idle(url, lease_s=LEASE_S):
    work(Store.open(url), idle_s=0, lease_s=lease_s)


def die_at(url, method, nth, moment):
    """Work with a store that kills the process the nth time `method` is called, before it or right after it committed."""
    _signal_at(method, nth, moment, signal.SIGKILL)
    work_until_idle(url)


def sleep_after(url, method, nth):
    """Work until the nth call of `method` has committed, then stop the process; SIGCONT wakes it, and it goes on."""
    _signal_at(method, nth, "after", signal.SIGSTOP)
    work_until_idle(url)


def _signal_at(method, nth, moment, number):
    original, calls = getattr(Store, method), itertools.count(1)

    def fatal(self, *arguments, **keywords):
        is_the_one = next(calls) == nth
        if is_the_one and moment == "before":
            os.kill(os.getpid(), number)
        result = original(self, *arguments, **keywords)
        if is_the_one and moment == "after" and result is not False:
            os.kill(os.getpid(), number)
        return result

    setattr(Store, method, fatal)


def work_on_a_full_disk(url, path, room):
    """Work where no file may grow beyond `room` bytes more than the database has; the signal that comes with it is ignored."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = max(os.path.getsize(path), os.path.getsize(path + "-wal") if os.path.exists(path + "-wal") else 0) + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    work_until_idle(url)


def work_with_keys(url, run_id, keys):
    """Drive one run with typed keys."""
    work_keyed(Store.open(url), run_id, keys, lease_s=LEASE_S)


POINTS = ("before reserve", "after reserve", "before call", "after call", "before settle", "after settle")


def die_buying(url, point, nth, number=signal.SIGKILL, lease_s=1.0):
    """Work on live runs until a point between reserving and settling is passed the nth time; then the process gets a signal."""
    passed = itertools.count(1)

    def at(here):
        if here == point and next(passed) == nth:
            os.kill(os.getpid(), number)

    exchange, send = Ledger.exchange, Direct.send

    def fatal_exchange(self, answers, released, wanted, progress):
        for which, present in (("reserve", wanted), ("settle", answers)):
            if present:
                at(f"before {which}")
        result = exchange(self, answers, released, wanted, progress)
        for which, present in (("reserve", wanted), ("settle", answers)):
            if present:
                at(f"after {which}")
        return result

    async def fatal_send(self, messages):
        at("before call")
        result = await send(self, messages)
        at("after call")
        return result

    Ledger.exchange, Direct.send = fatal_exchange, fatal_send
    work(Store.open(url), idle_s=0, lease_s=lease_s)


def work_at_a_barrier(url, barrier):
    """Work once all are there."""
    barrier.wait()
    work(Store.open(url), idle_s=0, lease_s=60.0)


def work_with_little_memory(url, room):
    """Work with `room` bytes of address space more than are in use."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
    work_until_idle(url)
