"""Prompts and queries from files and pasted text: CSV, JSON, JSONL, YAML and TXT.

    bytes -> decode -> sheet (records under columns) -> mapping of columns -> rows of a task file

Nothing in a file is run, and nothing is lost in silence: every row is accepted or reported with its place and the remedy.
"""

from iapo_core.reading.prompts import PromptColumns, guess_prompt_columns, read_prompts
from iapo_core.reading.queries import QueryColumns, guess_query_columns, read_queries
from iapo_core.reading.sheet import Kind, Problem, Reading, Sheet, read_sheet

__all__ = [
    "Kind",
    "Problem",
    "PromptColumns",
    "QueryColumns",
    "Reading",
    "Sheet",
    "guess_prompt_columns",
    "guess_query_columns",
    "read_prompts",
    "read_queries",
    "read_sheet",
]
