"""YAML without its dangers: the parser's events are turned into lists, objects and text, and no constructor is ever called.

Anchors, aliases and tags are refused, so nothing can multiply or run; nothing has an implicit type: `no`, `1e3`, `007` and dates
stay text, and only an empty value, `~` and `null` are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from iapo_core.errors import ReadingError
from iapo_core.reading.nested import sheet_of
from iapo_core.reading.rows import MAX_DEPTH, Kind, Sheet, shortened, unstorable

MAX_NODES = 400_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq", "null")) | {None, "!"}
_MISSING = frozenset(("", "~", "null", "Null", "NULL"))


def read_yaml(text: str, source: str, kind: Kind) -> Sheet:
    """Read the same shapes as from JSON; several documents are taken as one list.

    Raises:
        ReadingError: If it is not valid YAML, or uses what is refused, with the line.
    """
    if (found := unstorable(text, max_characters=len(text))) is not None:
        raise ReadingError(f"{source}: {found[0]}; {found[1]}.")
    try:
        documents = list(_documents(yaml.parse(text, Loader=_LOADER), source))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise ReadingError(f"{source}{place}: this is not valid YAML ({shortened(str(why))}); correct it there.") from error
    return sheet_of(documents[0] if len(documents) == 1 else documents, source, kind)


def _documents(events: Iterator[Any], source: str) -> Iterator[Any]:
    """Build each document from the parser's events."""
    open_nodes: list[_Node] = []
    n_nodes = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ReadingError(f"{source}, line {line}: anchors (&) and aliases (*) are not taken; write the text out.")
        if getattr(event, "tag", None) not in _PLAIN_TAGS:
            raise ReadingError(f"{source}, line {line}: the tag {shortened(event.tag)} is not taken; remove it.")
        if isinstance(event, yaml.ScalarEvent):
            is_missing = event.style in (None, "") and event.tag is None and event.value in _MISSING
            done: Any = None if is_missing else event.value
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            open_nodes.append(_Node({} if isinstance(event, yaml.MappingStartEvent) else [], line))
            if len(open_nodes) > MAX_DEPTH:
                raise ReadingError(f"{source}, line {line}: it is nested more than {MAX_DEPTH} levels deep; flatten it.")
            continue
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = open_nodes.pop().value
        else:
            continue
        n_nodes += 1
        if n_nodes > MAX_NODES:
            raise ReadingError(f"{source}, line {line}: there are more than {MAX_NODES:,} values; split the file.")
        if open_nodes:
            open_nodes[-1].add(done, source, line)
        else:
            yield done


class _Node:
    """A list or an object that is being filled."""

    def __init__(self, value: Any, line: int) -> None:
        self.value, self.line = value, line
        self._key: str | None = None

    def add(self, child: Any, source: str, line: int) -> None:
        """Take the next child: an item, or in turn a key and its value."""
        if isinstance(self.value, list):
            self.value.append(child)
        elif self._key is None:
            if not isinstance(child, str):
                raise ReadingError(f"{source}, line {line}: a name must be plain text; put it into quotes.")
            if child in self.value:
                raise ReadingError(f"{source}, line {line}: the name {shortened(child)!r} stands twice; keep one of the two.")
            self._key = child
        else:
            self.value[self._key] = child
            self._key = None
