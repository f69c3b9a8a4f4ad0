"""The command line: `iapo` opens the dashboard, the rest works without a browser."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from iapo_core.errors import IapoError

EPILOG = "Every command explains itself with --help. Recorded and simulated tasks need no key and cost nothing."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 refused with a sentence, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        code = int(arguments.command(arguments) or 0)
        sys.stdout.flush()
        return code
    except IapoError as error:
        print(f"iapo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("iapo: interrupted; what was stored is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone; there is nobody to tell
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="iapo", description=__doc__, epilog=EPILOG)
    parser.add_argument("--port", type=_port, default=8501, help="port of the dashboard (default 8501)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--version", action="version", version=f"iapo {version('iapo')}")
    parser.set_defaults(command=_lazy("dashboard", "dashboard"))
    verbs = parser.add_subparsers(title="commands", metavar="")

    run = verbs.add_parser("run", help="run PSST on a task and print the policy")
    run.add_argument("task", help="a task folder or task.json, a count table .npz, or the id of a bundled task")
    run.add_argument("--budget", type=int, required=True, help="completions that may be spent, a hard cap")
    run.add_argument("--seed", type=int, default=0, help="seed of the split and of the run (default 0)")
    run.add_argument("--algorithm", default="psst", help="psst (default), psst-topk or psst-eb")
    run.add_argument("--k", type=int, help="prompts that each context keeps after screening (psst-topk; default 4)")
    run.add_argument("--n-max", type=int, help="largest inference scale (default: the task's)")
    run.add_argument("--weights", metavar="OBJECTIVE=WEIGHT,...", help="one preference to serve instead of the task's own")
    run.add_argument("--cost-weight", type=float, help="what cost weighs in it, per unit of the task's cost (default 0)")
    run.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME:OBJECTIVE=WEIGHT,...,cost=WEIGHT",
        help="a preference to serve instead of the task's own; repeat for several",
    )
    run.add_argument("--out", type=Path, help="write the policy here as JSON")
    run.add_argument("--json", action="store_true", help="print one JSON object a line instead of a table")
    live = run.add_argument_group("live tasks, whose completions are bought from a model")
    live.add_argument("--model", help="the model's name as LiteLLM spells it, instead of the task's")
    live.add_argument("--api-base", metavar="URL", help="an OpenAI-compatible address, ending in /v1")
    live.add_argument(
        "--api-key-env", metavar="VAR", help="environment variable that holds the key (default: the provider's own)"
    )
    live.add_argument("--max-usd", type=float, help="dollars that may be spent, a hard cap")
    live.add_argument(
        "--price", type=float, nargs=2, metavar=("IN", "OUT"), help="dollars per million prompt and completion tokens"
    )
    live.add_argument("--concurrency", type=int, default=16, help="calls in flight (default 16)")
    live.add_argument("--rpm", type=int, metavar="N", help="requests per minute that each model allows (default: no limit)")
    live.add_argument("--tpm", type=int, metavar="N", help="tokens per minute that each model allows (default: no limit)")
    live.add_argument("--local", action="store_true", help="a small model on this machine, without a key (extra [local])")
    run.set_defaults(command=_lazy("run", "run"))

    bench = verbs.add_parser("bench", help="compare algorithms on environments whose truth or recording is at hand")
    bench.add_argument(
        "environments",
        nargs="+",
        metavar="ENV",
        help="a count table .npz, a recorded task, synth-bernoulli:SEED, synth-categorical:SEED",
    )
    bench.add_argument("--algorithms", default="psst,psst-topk,psst-eb", help="as in psst,psst-eb[depth=8],uniform,oracle")
    bench.add_argument("--budgets", default="1000,5000,20000", help="completions, as in 1000,5000 (default 1000,5000,20000)")
    bench.add_argument("--runs", type=int, default=50, help="reshuffles of each environment's queries (default 50)")
    bench.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    bench.add_argument("--executor", default="local", help="local:N processes (default: one per core) or dask://HOST:PORT")
    bench.add_argument("--out", type=Path, required=True, help="parquet file of all runs; an interrupted bench goes on from it")
    bench.add_argument("--html", type=Path, help="write a page with the figures here")
    bench.add_argument("--reference", help="whom the others are tested against (default: the first algorithm)")
    bench.add_argument("--json", action="store_true", help="print one JSON object a line instead of a table")
    bench.set_defaults(command=_lazy("bench", "bench"))

    tasks = verbs.add_parser("tasks", help="list the tasks of the catalogue")
    tasks.set_defaults(command=_lazy("stored", "list_tasks"))
    scorers = verbs.add_parser("scorers", help="list the scorers that objectives can use, or what one of them takes")
    scorers.add_argument("name", nargs="?", help="a scorer, to see its params")
    scorers.add_argument("--json", action="store_true", help="print one JSON object a line")
    scorers.set_defaults(command=_lazy("scorers", "list_scorers"))
    runs = verbs.add_parser("runs", help="list stored runs")
    runs.set_defaults(command=_lazy("stored", "list_runs"))
    export = verbs.add_parser("export", help="write the policy of a stored run as JSON")
    export.add_argument("run_id")
    export.add_argument("--out", type=Path, help="file to write; the terminal where left out")
    export.set_defaults(command=_lazy("stored", "export"))
    worker = verbs.add_parser("worker", help="drive queued runs until idle; the dashboard starts one by itself")
    worker.add_argument("--idle", type=float, default=900.0, help="seconds without work before it ends (default 900)")
    worker.add_argument("--run", metavar="RUN_ID", help="drive this run alone, whose keys were typed")
    worker.add_argument("--keys-from-stdin", action="store_true", help="read its keys as JSON from standard input")
    worker.set_defaults(command=_lazy("dashboard", "worker"))
    local_model = verbs.add_parser("local-model", help="a small model on this machine for tasks without a key (extra [local])")
    local_model.add_argument("action", nargs="?", choices=("status", "fetch", "start", "stop"), default="status")
    local_model.add_argument("--slots", type=int, default=16, help="completions made at once (default 16)")
    local_model.add_argument("--threads", type=int, help="processor threads (default: half of the processors)")
    local_model.set_defaults(command=_lazy("local", "local_model"))
    paper = verbs.add_parser("import-paper", help="convert an environment that the paper's authors released")
    paper.add_argument("source", type=Path, help="their pickle; read by a restricted unpickler that runs nothing of theirs")
    paper.add_argument("destination", type=Path, help="the .npz to write")
    paper.add_argument("--index", type=int, help="which environment, where the file holds several")
    paper.set_defaults(command=_lazy("stored", "import_from_paper"))
    return parser


def _lazy(module: str, name: str) -> Callable[[argparse.Namespace], Any]:
    """Import a command when it is called: `--help` and a mistyped option answer at once."""

    def command(arguments: argparse.Namespace) -> Any:
        return getattr(import_module(f"iapo_core.commands.{module}"), name)(arguments)

    return command


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {port}")
    return port


if __name__ == "__main__":
    sys.exit(main())
