"""A file or a pasted text as rows under columns, by its format."""

from __future__ import annotations

from iapo_core.errors import ReadingError
from iapo_core.reading.blocks import read_blocks
from iapo_core.reading.csv import read_csv
from iapo_core.reading.decode import decode
from iapo_core.reading.nested import read_json, read_jsonl
from iapo_core.reading.rows import Kind, Problem, Reading, Sheet
from iapo_core.reading.yaml import read_yaml

__all__ = ["FORMATS", "SUFFIXES", "Kind", "Problem", "Reading", "Sheet", "format_of", "read_sheet"]

FORMATS = ("CSV", "JSON", "JSONL", "YAML", "TXT")
SUFFIXES = {
    "csv": "CSV",
    "tsv": "CSV",
    "json": "JSON",
    "jsonl": "JSONL",
    "ndjson": "JSONL",
    "yaml": "YAML",
    "yml": "YAML",
    "txt": "TXT",
}


def format_of(name: str) -> str:
    """Return the format that a file's name says.

    Raises:
        ReadingError: If it says none that is read.
    """
    suffix = name.rpartition(".")[2].casefold()
    if suffix not in SUFFIXES:
        raise ReadingError(f"{name}: files are read by their ending: {', '.join(SUFFIXES)}; rename it, or paste its text.")
    return SUFFIXES[suffix]


def read_sheet(content: bytes | str, source: str, kind: Kind, *, format: str | None = None) -> Sheet:
    """Read rows of prompts or queries.

    Args:
        content: The file's bytes, or pasted text.
        source: Its name, for people; the format is read off its ending unless given.
        kind: What the rows are.
        format: One of FORMATS.

    Raises:
        ReadingError: If nothing of it can be used, in one sentence.
    """
    chosen = format or format_of(source)
    text = decode(content, source)
    if chosen == "CSV":
        return read_csv(text, source)
    if chosen == "JSON":
        return read_json(text, source, kind)
    if chosen == "JSONL":
        return read_jsonl(text, source, kind)
    if chosen == "YAML":
        return read_yaml(text, source, kind)
    return read_blocks(text, source, kind)
