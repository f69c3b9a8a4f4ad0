"""What one cell of a CSV can say: text that no spreadsheet takes for a formula, and lists spelled as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from iapo_core import strict_json

# Any apostrophes in front belong to the pattern, so that taking one away undoes putting one there.
_FORMULA = re.compile(r"'*[=+\-@\t\r\0]")


def guarded(cell: str) -> str:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    return "'" + cell if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Take the apostrophe of `guarded` away."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def list_cell(value: str | list[Any] | tuple[Any, ...] | None) -> str:
    """Spell a gold answer or a list of turns in one cell; `from_list_cell` reads it back."""
    if value is None:
        return ""
    if isinstance(value, str) and value and from_list_cell(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def from_list_cell(cell: str) -> Any:
    """Return the list that a cell spells, None where it is empty, and plain text as it is."""
    if not cell:
        return None
    if cell[0] not in '["' or cell[-1] not in ']"':
        return cell
    try:
        value = strict_json.loads(cell, are_numbers_text=True)
    except ValueError:
        return cell
    return value if isinstance(value, list | str) else cell
