"""The command line: `iapo` opens the dashboard, the rest works without a browser."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from iapo_core import commands
from iapo_core.errors import IapoError
from iapo_core.optimize import ALGORITHMS

EPILOG = "Every command explains itself with --help. Nothing here needs a key; recorded and simulated tasks cost nothing."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 refused with a sentence, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments) or 0)
    except IapoError as error:
        print(f"iapo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("iapo: interrupted; what was stored is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="iapo", description=__doc__, epilog=EPILOG)
    parser.add_argument("--port", type=int, default=8501, help="port of the dashboard (default 8501)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.set_defaults(command=_dashboard)
    verbs = parser.add_subparsers(title="commands", metavar="")

    run = verbs.add_parser("run", help="run PSST on a task and print the policy")
    run.add_argument("task", help="a task folder or task.json, a count table .npz, or the id of a bundled task")
    run.add_argument("--budget", type=int, required=True, help="completions that may be spent, a hard cap")
    run.add_argument("--seed", type=int, default=0, help="seed of the split and of the run (default 0)")
    run.add_argument("--algorithm", default="psst", choices=sorted(ALGORITHMS), help="default psst")
    run.add_argument("--k", type=int, help="prompts that each context keeps after screening (psst-topk; default 4)")
    run.add_argument("--n-max", type=int, help="largest inference scale (default: the task's)")
    run.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME:OBJECTIVE=WEIGHT,...,cost=WEIGHT",
        help="a preference to serve instead of the task's own; repeat for several",
    )
    run.add_argument("--out", type=Path, help="write the policy here as JSON")
    run.add_argument("--json", action="store_true", help="print one JSON object a line instead of a table")
    run.set_defaults(command=commands.run)

    tasks = verbs.add_parser("tasks", help="list the tasks of the catalogue")
    tasks.set_defaults(command=commands.list_tasks)
    runs = verbs.add_parser("runs", help="list stored runs")
    runs.set_defaults(command=commands.list_runs)
    export = verbs.add_parser("export", help="write the policy of a stored run as JSON")
    export.add_argument("run_id")
    export.add_argument("--out", type=Path, help="file to write; the terminal where left out")
    export.set_defaults(command=commands.export)
    worker = verbs.add_parser("worker", help="drive queued runs until idle; the dashboard starts one by itself")
    worker.add_argument("--idle", type=float, default=900.0, help="seconds without work before it ends (default 900)")
    worker.set_defaults(command=_worker)
    paper = verbs.add_parser("import-paper", help="convert an environment that the paper's authors released")
    paper.add_argument("source", type=Path, help="their pickle; read by a restricted unpickler that runs nothing of theirs")
    paper.add_argument("destination", type=Path, help="the .npz to write")
    paper.add_argument("--index", type=int, help="which environment, where the file holds several")
    paper.set_defaults(command=commands.import_from_paper)
    return parser


def _worker(arguments: argparse.Namespace) -> None:
    from iapo_core.runs.store import Store
    from iapo_core.runs.worker import work

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    work(Store.open(), idle_s=arguments.idle)


def _dashboard(arguments: argparse.Namespace) -> int:
    root = _dashboard_root()
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", arguments.port)) == 0:
            raise IapoError(
                f"Port {arguments.port} is taken, perhaps by another dashboard; choose another with --port."
            )
    commands.prepare_showcase()
    return subprocess.call(
        [
            sys.executable, "-m", "streamlit", "run", "app.py",
            "--server.port", str(arguments.port),
            "--server.headless", "true" if arguments.no_browser or not _has_display() else "false",
        ],
        cwd=root,
    )  # fmt: skip


def _dashboard_root() -> Path:
    """Return where app.py is: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    inside = package / "dashboard"
    return inside if (inside / "app.py").exists() else package.parent


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
