"""Prompts from a sheet: one template a row, one column per role, or a list of role-tagged turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iapo_core.reading.cells import from_list_cell
from iapo_core.reading.mapping import RefusedError, Rows, first_named, plain, text_of
from iapo_core.reading.rows import Reading, Record, Sheet
from iapo_core.task import Prompt, Role

_ID = ("id", "promptid", "key", "name", "slug")
_TITLE = ("title", "label", "description")
_TEXT = ("template", "prompt", "text", "prompttext", "content", "instruction", "instructions", "body")
_CHAT = ("messages", "turns", "chat", "conversation")
_ROLES: dict[str, Role] = {
    "system": "system",
    "systemprompt": "system",
    "user": "user",
    "userprompt": "user",
    "human": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True)
class PromptColumns:
    """Which columns make a prompt.

    Attributes:
        turns: The role and the column of each turn, in order; an empty cell leaves its turn out.
        messages: A column that holds a whole list of role-tagged turns; `turns` serve the rows that have none.
        id: Ids are counted where it is None.
        title: None for none.
    """

    turns: tuple[tuple[Role, str], ...] = ()
    messages: str | None = None
    id: str | None = None
    title: str | None = None

    def unused(self, sheet: Sheet) -> tuple[str, ...]:
        """Return the columns that no part of a prompt comes from."""
        used = {self.id, self.title, self.messages, *(column for _, column in self.turns)}
        return tuple(column for column in sheet.columns if column not in used)


def guess_prompt_columns(sheet: Sheet) -> PromptColumns:
    """Guess by the columns' names; the longest column is the template where no name says so."""
    columns = sheet.columns
    messages = first_named(columns, _CHAT)
    text = first_named(columns, _TEXT)
    roles = [(_ROLES[plain(column)], column) for column in columns if plain(column) in _ROLES]
    if not any(role == "user" for role, _ in roles) and text is not None:
        roles.append(("user", text))
    elif not roles and messages is None and columns:
        named = {first_named(columns, _ID), first_named(columns, _TITLE)}
        free = [column for column in columns if column not in named] or list(columns)
        roles = [("user", max(free, key=lambda column: _mean_length(sheet, column)))]
    used = {column for _, column in roles} | {messages}
    rest = [column for column in columns if column not in used]
    return PromptColumns(tuple(roles), messages, first_named(rest, _ID), first_named(rest, _TITLE))


def read_prompts(sheet: Sheet, columns: PromptColumns | None = None) -> Reading:
    """Turn a sheet into prompts in the form of a task file: `id`, `title` and `messages`."""
    chosen = columns or guess_prompt_columns(sheet)
    rows = Rows(sheet, "prompt")
    names = {"id": chosen.id or "id", "title": chosen.title or "title", "messages": _text_column(chosen)}
    for record in sheet.records:
        try:
            turns = _turns(record, chosen, is_flat=sheet.is_flat)
            title = text_of(record, chosen.title) or ""
            row = {"id": rows.number(record, chosen.id), "title": title, "messages": turns}
        except RefusedError as refused:
            rows.refuse(record, refused)
        else:
            rows.accept(record, Prompt, row, names)
    return rows.reading()


def _turns(record: Record, columns: PromptColumns, *, is_flat: bool) -> list[Any]:
    """Return a row's turns.

    Raises:
        RefusedError: If it has none, or they are no list.
    """
    if columns.messages is not None and record.values.get(columns.messages) not in (None, ""):
        value = record.values[columns.messages]
        turns = from_list_cell(value) if is_flat else value
        if not isinstance(turns, list):
            raise RefusedError(
                columns.messages, "turns are a list of objects with role and content", 'write [{"role": "user", …}]'
            )
        return turns
    given = [(role, text_of(record, column)) for role, column in columns.turns]
    turns = [{"role": role, "content": text} for role, text in given if text is not None and text.strip()]
    if not turns:
        raise RefusedError(_text_column(columns), "there is no text", "write the prompt, or remove the row")
    return turns


def _text_column(columns: PromptColumns) -> str:
    return columns.messages or next((column for role, column in columns.turns if role == "user"), "template")


def _mean_length(sheet: Sheet, column: str) -> float:
    return sum(len(str(record.values.get(column) or "")) for record in sheet.records[:100])
