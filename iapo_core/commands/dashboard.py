"""`iapo` and `iapo worker`: the processes behind the pages."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from iapo_core.errors import IapoError
from iapo_core.runs.catalogue import data_dir
from iapo_core.runs.store import Store
from iapo_core.runs.worker import showcase, work

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
    return subprocess.call(
        [
            sys.executable, "-m", "streamlit", "run", "app.py",
            "--server.address", ADDRESS,
            "--server.port", str(arguments.port),
            "--server.headless", "true" if is_headless else "false",
        ],
        cwd=dashboard_root(),
        env=environment,
    )  # fmt: skip


def worker(arguments: argparse.Namespace) -> None:
    """Drive queued runs until a signal comes or there was nothing to do for a while."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with closing(Store.open()) as store:
        work(store, idle_s=arguments.idle)


def dashboard_root() -> Path:
    """Return where app.py is: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parents[1]
    inside = package / "dashboard"
    return inside if (inside / "app.py").exists() else package.parent


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
