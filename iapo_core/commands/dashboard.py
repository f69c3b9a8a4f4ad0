"""`iapo` and `iapo worker`: the processes behind the pages."""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from iapo_core.environments.redact import RedactingFormatter, environment_secrets
from iapo_core.errors import IapoError, RunError
from iapo_core.runs.catalogue import data_dir
from iapo_core.runs.store import Store
from iapo_core.runs.worker import showcase, work, work_keyed

ADDRESS = "127.0.0.1"


def dashboard(arguments: argparse.Namespace) -> int:
    """Open the dashboard on a finished run; returns when its server ends.

    Raises:
        IapoError: If the port is taken or the database cannot be used.
    """
    with socket.socket() as probe:
        if probe.connect_ex((ADDRESS, arguments.port)) == 0:
            raise IapoError(
                f"Port {arguments.port} is taken, perhaps by a dashboard that runs already; choose another with --port."
            )
    with closing(Store.open()) as store:
        try:
            showcase(store)
        except IapoError as error:  # the pages work without it and say what is missing
            print(f"iapo: there is no example run to show: {error}", file=sys.stderr)
        environment = os.environ | {"IAPO_DATA_DIR": str(data_dir()), "IAPO_DATABASE_URL": store.url}
    is_headless = arguments.no_browser or not _has_display()
    if is_headless:
        print(f"The dashboard is at http://{ADDRESS}:{arguments.port}; Ctrl-C ends it.", flush=True)
    command = [
        sys.executable, "-m", "streamlit", "run", "app.py",
        "--server.address", ADDRESS,
        "--server.port", str(arguments.port),
        "--server.headless", "true" if is_headless else "false",
    ]  # fmt: skip
    if os.name != "posix":
        return subprocess.call(command, cwd=dashboard_root(), env=environment)
    os.chdir(dashboard_root())
    os.execve(command[0], command, environment)  # noqa: S606 - the server takes this process over, with the signals for it


def worker(arguments: argparse.Namespace) -> None:
    """Drive queued runs until a signal comes or there was nothing to do for a while; or one run, with keys from a pipe.

    Raises:
        RunError: If keys are to be read for no run, or what comes is not a JSON object of them.
    """
    keys = _keys_from_stdin(arguments.run) if arguments.keys_from_stdin else {}
    handler = logging.StreamHandler()
    secrets = [*keys.values(), *environment_secrets()]
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(message)s", secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with closing(Store.open()) as store:
        if arguments.run is None:
            work(store, idle_s=arguments.idle)
        elif store.run(arguments.run).needs_keys:
            work_keyed(store, arguments.run, keys)
        else:
            raise RunError(f"Run {arguments.run} takes its keys from the environment; start the worker without --run.")


def _keys_from_stdin(run_id: str | None) -> dict[str, str]:
    if run_id is None:
        raise RunError("Keys are for one run; name it with --run.")
    try:
        keys = json.load(sys.stdin)
    except ValueError:
        keys = None  # the parser's own words may quote what it was given
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise RunError("The keys come as one JSON object, variable names to keys, on standard input; nothing was started.")
    return keys


def dashboard_root() -> Path:
    """Return where app.py is: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "dashboard"
    return inside if (inside / "app.py").exists() else package.parent


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
