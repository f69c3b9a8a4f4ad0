"""`iapo local-model`: a small model on this machine, fetched, started and stopped."""

from __future__ import annotations

import argparse

from iapo_core.runs import local_server


def local_model(arguments: argparse.Namespace) -> None:
    """Do what was asked, then say how it stands.

    Raises:
        LocalModelError: If it cannot be done.
    """
    if arguments.action == "fetch":
        print(f"The model is in {local_server.fetch()}.")
        return
    if arguments.action == "start":
        local_server.ensure(slots=arguments.slots, threads=arguments.threads)
    elif arguments.action == "stop":
        print("The server was stopped." if local_server.stop() else "No server was running.")
        return
    now = local_server.status()
    if not now.is_installed:
        print("llama.cpp is not installed; install it with pip install 'iapo[local]'.")
    print(f"Model: {'here' if now.has_model else 'not here; iapo local-model fetch brings it (93 MB)'}.")
    if now.server is None:
        print("Server: down. A run that needs it starts it.")
        return
    memory = now.server.memory_bytes
    print(
        f"Server: answers at {now.server.served.base_url}, {now.server.slots} slots, process {now.server.pid}"
        + (f", {memory / 1e6:.0f} MB of memory." if memory else ".")
    )
    print(f"Tasks name it {local_server.NAME}.")
