"""Queries from a sheet: input fields and, where there is one, the gold answer or several of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from iapo_core.errors import ReadingError
from iapo_core.reading.cells import from_list_cell
from iapo_core.reading.mapping import RefusedError, Rows, first_named, text_of
from iapo_core.reading.nested import NESTED_FIELD
from iapo_core.reading.rows import Reading, Record, Sheet, shortened
from iapo_core.task import Query

_ID = ("id", "queryid", "key", "uid", "index")
_GOLD = (
    "gold",
    "golds",
    "answer",
    "answers",
    "goldanswer",
    "expected",
    "expectedoutput",
    "label",
    "target",
    "solution",
    "reference",
)


@dataclass(frozen=True)
class QueryColumns:
    """Which columns make a query: the input fields, the gold answer and the id (counted where it is None)."""

    fields: tuple[str, ...]
    gold: str | None = None
    id: str | None = None

    def unused(self, sheet: Sheet) -> tuple[str, ...]:
        """Return the columns that no part of a query comes from."""
        return tuple(column for column in sheet.columns if column not in {*self.fields, self.gold, self.id})


def field_name(column: str) -> str:
    """Return the name that prompts call a column's field by: letters, digits and _, not beginning with a digit."""
    if column.startswith(NESTED_FIELD):
        return column.removeprefix(NESTED_FIELD)
    name = re.sub(r"\W+", "_", column).strip("_") or "field"
    return name if not name[0].isdigit() else f"field_{name}"


def guess_query_columns(sheet: Sheet) -> QueryColumns:
    """Guess by the columns' names: what is neither id nor gold answer is a field."""
    id_column = first_named(sheet.columns, _ID) if len(sheet.columns) > 1 else None
    rest = [column for column in sheet.columns if column != id_column]
    gold = first_named(rest, _GOLD) if len(rest) > 1 else None
    return QueryColumns(tuple(column for column in rest if column != gold), gold, id_column)


def read_queries(sheet: Sheet, columns: QueryColumns | None = None) -> Reading:
    """Turn a sheet into queries in the form of a task file: `id`, `fields` and, where there is one, `gold`.

    Raises:
        ReadingError: If two columns would become one field.
    """
    chosen = columns or guess_query_columns(sheet)
    names = {column: field_name(column) for column in chosen.fields}
    for column, name in names.items():
        if other := next((c for c, n in names.items() if n == name and c != column), None):
            raise ReadingError(
                f"{sheet.source}: the columns {shortened(column)!r} and {shortened(other)!r} would both be the field "
                f"{{{shortened(name)}}}; rename one, or leave it out."
            )
    rows = Rows(sheet, "query")
    for record in sheet.records:
        try:
            row = {"id": rows.number(record, chosen.id), "fields": _fields(record, names)}
            gold = _gold(record, chosen.gold, is_flat=sheet.is_flat)
            if gold is not None:
                row["gold"] = gold
        except RefusedError as refused:
            rows.refuse(record, refused)
        else:
            rows.accept(record, Query, row, {"id": chosen.id or "id", "gold": chosen.gold or "gold"})
    return rows.reading()


def _fields(record: Record, names: dict[str, str]) -> dict[str, str]:
    """Return a row's input fields; a missing one is left out, which the task then says where a prompt needs it.

    Raises:
        RefusedError: If there is no text in any.
    """
    texts = {name: text_of(record, column) for column, name in names.items()}
    fields = {name: text for name, text in texts.items() if text is not None}
    if not any(text.strip() for text in fields.values()):
        raise RefusedError(next(iter(names), None), "there is no input", "write it, or remove the row")
    return fields


def _gold(record: Record, column: str | None, *, is_flat: bool) -> Any:
    """Return the gold answer, a list where there are several, None where there is none.

    Raises:
        RefusedError: If it is an object, or a list of other things than texts.
    """
    value = record.values.get(column) if column is not None else None
    if is_flat and isinstance(value, str):
        value = from_list_cell(value)
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        raise RefusedError(column, "the gold answers are no list of texts", 'write ["one", "two"]')
    if isinstance(value, dict):
        raise RefusedError(column, "an object stands where the gold answer is expected", "write text or a list of texts")
    return [str(each) for each in value] if isinstance(value, list) else value
