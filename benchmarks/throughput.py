"""How many completions a second are bought through the ledger, beside what the concurrency allows at most.

    python -m benchmarks.throughput [--seconds 6] [--latency 0.2] [--concurrency 8 16 32 64 128 200] [--route auto]

A server in a process of its own answers each call after a fixed time. The ideal is concurrency / latency. LiteLLM takes some
milliseconds of processor time per call, so beyond a few dozen calls in flight one processor is the limit; plain addresses are
then spoken to directly (`--route` forces one way for all). Figures that were measured stand in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from iapo_core.environment import Pulls
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.llm import LlmEnvironment
from iapo_core.runs.ledger import Ledger, spending
from iapo_core.runs.store import Store
from tests.faults.living import bare_claim, live_task

N_PER_PULL = 4
ROOT = Path(__file__).parents[1]


def measure(store: Store, base: str, concurrency: int, calls: int, route: str) -> tuple[float, float]:
    """Buy `calls` completions; returns seconds by the clock and of this process's processor time."""
    task = live_task(n_prompts=1, n_queries=max(calls // N_PER_PULL, 2))
    settings = LiveSettings(
        concurrency=concurrency, api_base=base, identity=f"benchmark {concurrency} {calls} {route}", route=route
    )
    claim = bare_claim(store, task, calls)
    environment = LlmEnvironment(task, settings, Ledger(store, claim, settings, cap=calls))
    queries = np.arange(calls // N_PER_PULL)
    began, used = time.perf_counter(), time.process_time()
    environment.pull(Pulls(np.zeros_like(queries), queries, np.full_like(queries, N_PER_PULL)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    bought = spending(store, claim.run_id)
    assert bought is not None and bought.bought == calls and bought.failed == 0  # noqa: S101, PT018
    store.finish(claim, "stopped")
    return seconds, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long a row takes at the ideal rate")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that the server takes")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[8, 16, 32, 64, 128, 200])
    parser.add_argument("--route", choices=["auto", "litellm", "direct"], default="auto")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "tests.faults.server", "--port", "0", "--delay", str(arguments.latency)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101
        base = server.stdout.readline().split(": ")[0]
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(f"sqlite:///{folder}/benchmark.db")
            for route in ("litellm", "direct"):
                measure(store, base, 4, 2 * N_PER_PULL, route)  # imports
            print("concurrency  ideal calls/s  calls/s  share  processor ms/call")
            for concurrency in arguments.concurrency:
                calls = concurrency * N_PER_PULL * max(round(arguments.seconds / arguments.latency / N_PER_PULL), 1)
                seconds, cpu = measure(store, base, concurrency, calls, arguments.route)
                ideal, rate = concurrency / arguments.latency, calls / seconds
                print(f"{concurrency:>11}  {ideal:>13.1f}  {rate:>7.1f}  {rate / ideal:>5.0%}  {1000 * cpu / calls:>17.1f}")
            store.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
