"""`iapo scorers`: the installed scorers, what each does, and the params that an objective can give it."""

from __future__ import annotations

import argparse
import dataclasses
import json

from iapo_core.commands.tables import aligned
from iapo_core.scorers.described import describe, described
from iapo_core.scorers.parameters import Described


def list_scorers(arguments: argparse.Namespace) -> None:
    """Print all scorers, or one of them with its params.

    Raises:
        ScorerError: If there is no such scorer.
    """
    found, broken = ([describe(arguments.name)], {}) if arguments.name else described()
    if arguments.json:
        for one in found:
            print(json.dumps(dataclasses.asdict(one), ensure_ascii=False))
        return
    if arguments.name:
        _one(found[0])
        return
    rows = [("scorer", "votes", "what it does")]
    rows += [(one.name, "yes" if one.is_voting else "", one.description) for one in found]
    rows += [(name, "", f"cannot be used: {why}") for name, why in broken.items()]
    for line in aligned(rows):
        print(line)
    print("\niapo scorers NAME shows the params of one.")


def _one(scorer: Described) -> None:
    print(f"{scorer.name} ({scorer.package}): {scorer.description}")
    rows = [("param", "kind", "default", "meaning")]
    for one in scorer.parameters:
        kind = " or ".join(one.options) if one.kind == "choice" else one.kind
        default = "required" if one.is_required else json.dumps(one.default, ensure_ascii=False)
        rows.append((one.name, kind, default if len(default) <= 40 else f"{default[:39]}…", one.help))
    for line in aligned(rows) if len(rows) > 1 else ["It takes no params."]:
        print(line)
