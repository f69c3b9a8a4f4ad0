"""CSV and TSV, read strictly: a quote out of place, a lone carriage return or a cell too many is reported, never guessed at."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from iapo_core.errors import ReadingError
from iapo_core.reading.cells import unguarded
from iapo_core.reading.nested import NESTED_FIELD
from iapo_core.reading.rows import MAX_COLUMNS, Gathering, Sheet, shortened

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_csv(text: str, source: str) -> Sheet:
    """Read a table whose first row names the columns. Rows count as in a spreadsheet: the header is row 1.

    Raises:
        ReadingError: If the header cannot be used, or a quote is out of place, so that nothing after it can be trusted.
    """
    lines = _lines(text)
    delimiter = _delimiter(lines, source)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    gathering = Gathering(source, "row")
    header: list[str] | None = None
    row = 0
    for cells in _records(reader, source):
        row += 1
        if header is None:
            if cells is None:
                raise ReadingError(
                    f"{source}, row {row}: a lone carriage return stands in the header; save the file again as CSV."
                )
            if cells:
                header = _header(cells, source)
                gathering.columns |= dict.fromkeys(header)
        elif cells is None:
            gathering.refuse(
                row, "a carriage return stands outside quotes", "put the cell into quotes, or save the file again as CSV"
            )
        elif not cells:
            continue  # a blank line
        elif len(cells) != len(header):
            gathering.refuse(
                row,
                f"it has {len(cells)} cells, but the header has {len(header)}",
                'put cells with a delimiter or a line break in them into "quotes"',
            )
        else:
            gathering.accept(row, dict(zip(header, map(unguarded, cells), strict=True)))
    named = f"Columns are separated by {_DELIMITERS[delimiter]}." if delimiter != "," else ""
    return gathering.sheet(note=named, is_flat=True)


def _lines(text: str) -> list[str]:
    """Cut at line feeds alone where there are any: a carriage return elsewhere is then seen, not taken for a row's end."""
    end = "\n" if "\n" in text else "\r"
    parts = text.split(end)
    return [part + end for part in parts[:-1]] + [parts[-1]] * bool(parts[-1])


def _records(reader: Iterator[list[str]], source: str) -> Iterator[list[str] | None]:
    """Yield rows; None for one with a carriage return outside quotes, after which the next line begins afresh."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "new-line character seen in unquoted field" in str(error):
                yield None
                continue
            at = getattr(reader, "line_num", 0)
            raise ReadingError(
                f"{source}, line {at}: {error}; a quote inside a quoted cell is written twice, and every cell ends its quotes."
            ) from error
        yield cells


def _delimiter(lines: list[str], source: str) -> str:
    """Return the sign that cuts the first row into most cells."""
    counts = {}
    for sign in _DELIMITERS:
        try:
            counts[sign] = len(next((cells for cells in csv.reader(lines, delimiter=sign, strict=True) if cells), []))
        except csv.Error:
            counts[sign] = 0
    return max(counts, key=lambda sign: counts[sign])


def _header(cells: list[str], source: str) -> list[str]:
    """Return the columns' names; one without a name gets its number."""
    if len(cells) > MAX_COLUMNS:
        raise ReadingError(
            f"{source}: {len(cells)} columns are more than the {MAX_COLUMNS} allowed; keep those that prompts refer to."
        )
    names = [_named(unguarded(cell)) or f"column {place}" for place, cell in enumerate(cells, start=1)]
    for name in names:
        if names.count(name) > 1:
            raise ReadingError(f"{source}: the column {shortened(name)!r} stands twice in the header; give each its own name.")
    return names


def _named(cell: str) -> str:
    """Return a name without outer blanks, but for the names that queries with fields apart were written with."""
    return cell if cell.startswith(NESTED_FIELD) else cell.strip()
