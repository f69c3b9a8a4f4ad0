"""What columns mean: names are compared without case and signs, and every guess can be overruled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from iapo_core.reading.rows import Problem, Reading, Record, Sheet
from iapo_core.task_file import findings


def plain(name: str) -> str:
    """Return a column's name without case and signs."""
    return re.sub(r"[\W_]+", "", name).casefold()


def first_named(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column that bears the earliest of these names, None if none does."""
    by_name = {plain(column): column for column in reversed(tuple(columns))}
    return next((by_name[name] for name in names if name in by_name), None)


class RefusedError(Exception):
    """One row cannot be used, because of one column."""

    def __init__(self, column: str | None, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}")
        self.column, self.why, self.remedy = column, why, remedy


def text_of(record: Record, column: str | None) -> str | None:
    """Return a column's text, None where it is missing.

    Raises:
        RefusedError: If it holds a list or an object.
    """
    if column is None:
        return None
    value = record.values.get(column)
    if value is None or isinstance(value, str):
        return value
    kind = "an object" if isinstance(value, dict) else "a list"
    raise RefusedError(column, f"{kind} stands where text is expected", "write text, or choose another column")


class Rows:
    """Turns the records of a sheet into rows of a task file; each is accepted or refused with its place."""

    def __init__(self, sheet: Sheet, prefix: str) -> None:
        self._sheet, self._prefix = sheet, prefix
        self._rows: list[dict[str, Any]] = []
        self._problems = list(sheet.problems)
        self._seen: dict[str, int] = {}
        self._count = 0

    def number(self, record: Record, column: str | None) -> str:
        """Return a row's id: its own, or one that is counted where it has none.

        Raises:
            RefusedError: If another row has it.
        """
        given = (text_of(record, column) or "").strip()
        if not given:
            self._count += 1
            while (given := f"{self._prefix}-{self._count}") in self._seen:
                self._count += 1
        elif given in self._seen:
            raise RefusedError(
                column,
                f"the id {given!r} stands in {self._sheet.unit} {self._seen[given]} already",
                "give each its own, or let them be counted",
            )
        return given

    def accept(self, record: Record, model: type[BaseModel], data: dict[str, Any], columns: dict[str, str]) -> None:
        """Check a row by its model and take it; `columns` names the column behind each part, for the report."""
        try:
            model.model_validate(data)
        except ValidationError as error:
            for loc, message in findings(error):
                inside = " ".join(str(part + 1) if isinstance(part, int) else part for part in loc[1:])
                column = columns.get(str(loc[0]) if loc else "", str(loc[0]) if loc else None)
                self.refuse(record, RefusedError(column, f"{inside}: {message}" if inside else message, "correct it in the file"))
        else:
            self._seen[data["id"]] = record.row
            self._rows.append(data)

    def refuse(self, record: Record, refused: RefusedError) -> None:
        """Report a row that cannot be used."""
        sheet = self._sheet
        self._problems.append(Problem(sheet.source, sheet.unit, record.row, refused.column, refused.why, refused.remedy))

    def reading(self) -> Reading:
        """Return what became of the rows, problems in the order of the file."""
        return Reading(tuple(self._rows), tuple(sorted(self._problems, key=lambda p: p.row)), self._sheet.n_rows)
