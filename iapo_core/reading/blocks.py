"""Plain text with one prompt, or one query, per block."""

from __future__ import annotations

import re

from iapo_core.reading.rows import Gathering, Kind, Sheet

SEPARATOR = "---"
_RULE = re.compile(r"^---[ \t]*$", re.MULTILINE)
_BLANK = re.compile(r"\n(?:[ \t]*\n)+")


def read_blocks(text: str, source: str, kind: Kind) -> Sheet:
    """Cut at lines of `---` where there is one, else at blank lines; outer blank lines of a block are not part of it.

    Raises:
        ReadingError: If there is nothing, or too much.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    is_ruled = _RULE.search(text) is not None
    gathering = Gathering(source, "block")
    row = 0
    for part in (_RULE if is_ruled else _BLANK).split(text):
        block = re.sub(r"\A(?:[ \t]*\n)+|(?:\n[ \t]*)+\Z", "", part)
        if block.strip():
            row += 1
            gathering.accept(row, {"template" if kind == "prompts" else "input": block})
    note = (
        f"Cut at the lines of {SEPARATOR}." if is_ruled else f"Cut at blank lines; separate by lines of {SEPARATOR} to keep them."
    )
    return gathering.sheet(note=note, is_flat=True)
