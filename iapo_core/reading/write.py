"""Prompts and queries as files that read back as what they were."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from iapo_core.errors import ReadingError
from iapo_core.reading.blocks import SEPARATOR, read_blocks
from iapo_core.reading.cells import guarded, list_cell
from iapo_core.reading.nested import NESTED_FIELD
from iapo_core.reading.queries import field_name
from iapo_core.reading.rows import Kind

Row = dict[str, Any]
_ODD = re.compile(r"[^ -~\n\u00a1-\u1fff\u3001-\ud7ff]")
_BLOCK = re.compile(r"\w(?:[^\n]|\n(?! ))*[^\s]\n?")


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What a block would fold or strip, and what the plain styles would take for a line's end, goes into quotes.
    style = '"' if _ODD.search(text) else None
    if style is None and "\n" in text and _BLOCK.fullmatch(text):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def write_rows(rows: Sequence[Row], kind: Kind, format: str) -> str:
    """Write prompts or queries, in the form of a task file, in one of the formats that are read.

    Raises:
        ReadingError: If the format cannot hold them; nothing is left out in silence.
    """
    plain = [{key: value for key, value in row.items() if value is not None} for row in rows]
    if format == "JSON":
        return json.dumps(plain, ensure_ascii=False, indent=1) + "\n"
    if format == "JSONL":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain)
    if format == "YAML":
        return str(yaml.dump(plain, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120))
    if format == "TXT":
        return _blocks(plain, kind)
    return _prompts_csv(plain) if kind == "prompts" else _queries_csv(plain)


def _blocks(rows: Sequence[Row], kind: Kind) -> str:
    texts = []
    for row in rows:
        turns = row.get("messages", [])
        if kind == "queries" or [turn["role"] for turn in turns] != ["user"]:
            raise ReadingError(
                f"Plain text holds one user turn per block, and {row['id']!r} is more than that; take JSON or CSV."
            )
        texts.append(turns[0]["content"])
    text = "".join(f"{each}\n{SEPARATOR}\n" for each in texts)
    if not texts or [record.values["template"] for record in read_blocks(text, "prompts.txt", kind).records] != texts:
        raise ReadingError(
            f"A prompt has a line of {SEPARATOR}, or blank lines around it, which plain text loses; take JSON or CSV."
        )
    return text


def _prompts_csv(rows: Sequence[Row]) -> str:
    is_single = all([turn["role"] for turn in row["messages"]] == ["user"] for row in rows)
    texts = [row["messages"][0]["content"] if is_single else list_cell(row["messages"]) for row in rows]
    cells = [(row["id"], row.get("title", ""), text) for row, text in zip(rows, texts, strict=True)]
    return _csv(("id", "title", "template" if is_single else "messages"), cells)


def _queries_csv(rows: Sequence[Row]) -> str:
    names = list(rows[0]["fields"]) if rows else []
    if any(set(row["fields"]) != set(names) for row in rows):
        raise ReadingError("The queries have different fields, which a table cannot tell from empty ones; take JSON or JSONL.")
    is_plain = all(field_name(name) == name and name not in ("id", "gold") for name in names)
    header = [name if is_plain else NESTED_FIELD + name for name in names]
    return _csv(
        ("id", *header, "gold"),
        [(row["id"], *(row["fields"][name] for name in names), list_cell(row.get("gold"))) for row in rows],
    )


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([[guarded(cell) for cell in row] for row in (header, *rows)])
    return buffer.getvalue()
