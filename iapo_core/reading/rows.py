"""What a file holds before anybody says what its columns mean: records, and the rows that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from iapo_core.errors import ReadingError
from iapo_core.task import MAX_PROMPT_CHARACTERS

Kind = Literal["prompts", "queries"]
MAX_ROWS = 20_000
MAX_COLUMNS = 64
MAX_DEPTH = 40
MAX_CELL_CHARACTERS = MAX_PROMPT_CHARACTERS


@dataclass(frozen=True)
class Problem:
    """Why a row was not taken: where it stands, what is wrong, and what to do."""

    source: str
    unit: str
    row: int
    column: str | None
    why: str
    remedy: str

    def __str__(self) -> str:
        column = f", column {self.column!r}" if self.column is not None else ""
        return f"{self.source}, {self.unit} {self.row}{column}: {self.why}; {self.remedy}."


@dataclass(frozen=True)
class Record:
    """One row as it stands in the file; a value is text, None where it is missing, or a nested list or object."""

    row: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Sheet:
    """The rows of one file under their columns.

    Attributes:
        source: Name of the file.
        unit: What a row is called there: row, line, item or block.
        columns: In the order of the file.
        records: Usable rows.
        problems: One for each row that is not usable.
        note: How the file was taken apart, in words.
        is_flat: True where every value is text, so that lists are spelled inside cells.
    """

    source: str
    unit: str
    columns: tuple[str, ...]
    records: tuple[Record, ...]
    problems: tuple[Problem, ...] = ()
    note: str = ""
    is_flat: bool = False

    @property
    def n_rows(self) -> int:
        """How many rows the file has; none is counted out."""
        return len(self.records) + len(self.problems)


@dataclass(frozen=True)
class Reading:
    """What became of a sheet's rows: each was accepted, or is named by at least one problem.

    Attributes:
        rows: Accepted prompts or queries, in the form of a task file.
        problems: Why the others were not.
        n_rows: How many rows the file has.
    """

    rows: tuple[dict[str, Any], ...]
    problems: tuple[Problem, ...]
    n_rows: int

    @property
    def n_rejected(self) -> int:
        """How many rows were not accepted."""
        return len({problem.row for problem in self.problems})


@dataclass
class Gathering:
    """Collects the rows of a file while it is read."""

    source: str
    unit: str
    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)

    def accept(self, row: int, values: dict[str, Any]) -> None:
        """Take a row whose values can be stored; refuse it otherwise."""
        for name, value in values.items():
            found = unstorable(name) or unstorable(value)
            if found is not None:
                self.refuse(row, *found, column=shortened(name))
                return
        self.columns |= dict.fromkeys(values)
        self.records.append(Record(row, values))
        self._limit()

    def refuse(self, row: int, why: str, remedy: str, *, column: str | None = None) -> None:
        """Report a row that cannot be used."""
        self.problems.append(Problem(self.source, self.unit, row, column, why, remedy))
        self._limit()

    def sheet(self, *, note: str = "", is_flat: bool = False) -> Sheet:
        """Return what was gathered.

        Raises:
            ReadingError: If there is nothing.
        """
        if not self.records and not self.problems:
            raise ReadingError(f"{self.source}: there are no rows in it; add some, or choose another file.")
        return Sheet(
            self.source, self.unit, tuple(self.columns), tuple(self.records), tuple(self.problems), note=note, is_flat=is_flat
        )

    def _limit(self) -> None:
        if len(self.records) + len(self.problems) > MAX_ROWS:
            raise ReadingError(f"{self.source}: there are more than the {MAX_ROWS:,} rows allowed; split the file.")
        if len(self.columns) > MAX_COLUMNS:
            raise ReadingError(
                f"{self.source}: there are more than the {MAX_COLUMNS} columns allowed; keep those that prompts refer to."
            )


def unstorable(value: Any, *, max_characters: int = MAX_CELL_CHARACTERS) -> tuple[str, str] | None:
    """Return why a value cannot be kept, with the remedy; None if it can. Looks into lists and objects."""
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"it is nested more than {MAX_DEPTH} levels deep", "flatten it"
        if isinstance(each, str):
            if len(each) > max_characters:
                return f"{len(each):,} characters are more than the {max_characters:,} allowed", "shorten it"
            if "\0" in each:
                return "it holds the character NUL, which no database stores", "remove it"
            if not each.isascii() and any("\ud800" <= sign <= "\udfff" for sign in each):
                return "it holds half of a surrogate pair, which is no character", "write the whole character"
        elif isinstance(each, list):
            waiting += [(child, depth + 1) for child in each]
        elif isinstance(each, dict):
            waiting += [(child, depth + 1) for child in (*each, *each.values())]
    return None


def shortened(text: str) -> str:
    """Return a name that fits into a sentence and can be shown."""
    shown = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
