"""Answers found by a regular expression, in time linear in the text: RE2 has no pattern that takes for ever."""

from __future__ import annotations

from typing import Annotated, Literal

import re2

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, Compared
from iapo_core.task import Query

MAX_PATTERN = 4_000
# RE2's own words, and what they mean for whoever wrote the pattern.
_REFUSED = {
    "invalid perl operator": "it looks ahead or behind with (?= (?! (?<= or (?<!, which cannot be searched for in linear time; "
    "write what surrounds the answer into the pattern and put the answer into a group",
    "invalid escape sequence": "it refers back to a group or uses an escape that RE2 does not know; write the text itself",
    "invalid repetition size": "it repeats something more than 1,000 times; use + or * instead",
}


class Regex(Compared):
    """The answer is what a regular expression (RE2) finds in the completion, compared without case and surrounding space."""

    def __init__(
        self,
        pattern: Annotated[str, r"As in Answer:\s*(\w+). RE2 syntax: no look-around, no back-references."],
        group: Annotated[int, "Which group is the answer; 0 is all that was found."] = 1,
        which: Annotated[Literal["first", "last"], "Which find counts, if there are several."] = "first",
        ignore_case: Annotated[bool, "The pattern matches capitals and small letters alike."] = True,
        score: Annotated[Literal["gold", "found"], "gold: 1 if the answer is the gold one; found: 1 if there is one."] = "gold",
    ) -> None:
        self._pattern = compiled(pattern, ignore_case=ignore_case)
        if not 0 <= group <= self._pattern.groups:
            raise ScorerError(
                f"`group` is {group}, but the pattern has {self._pattern.groups} groups; put the answer into parentheses or "
                "choose another."
            )
        self._group, self._which, self._score = group, which, score
        self.needs_gold = score == "gold"

    def read(self, text: str) -> str | None:
        """Return what was found, None where nothing was or the group is empty."""
        found = None
        for match in self._pattern.finditer(_plain(text[:MAX_CHARACTERS])):
            if match[self._group] and match[self._group].strip():
                found = match[self._group]
                if self._which == "first":
                    break
        return None if found is None else self.canonical(found)

    def canonical(self, gold: str) -> str | None:
        """Return an answer without case and superfluous space."""
        return " ".join(_plain(gold).split()).casefold() or None

    def score(self, text: str, query: Query) -> float:
        """Return 1 if the answer is the gold one (or if there is an answer, where that is asked), else 0."""
        return float(self.read(text) is not None) if self._score == "found" else super().score(text, query)


def compiled(pattern: str, *, ignore_case: bool = False) -> re2._Regexp:
    """Compile a pattern.

    Raises:
        ScorerError: If RE2 refuses it, with what is wrong.
    """
    if not pattern or len(pattern) > MAX_PATTERN:
        raise ScorerError(f"`pattern` has {len(pattern):,} characters; it needs 1 to {MAX_PATTERN:,}.")
    options = re2.Options()
    options.log_errors, options.case_sensitive = False, not ignore_case
    try:
        return re2.compile(pattern, options)
    except UnicodeEncodeError as error:
        raise ScorerError("`pattern` holds half of a surrogate pair; write the whole character.") from error
    except re2.error as error:
        said = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        why = next((words for start, words in _REFUSED.items() if said.startswith(start)), "correct it")
        raise ScorerError(f"`pattern` cannot be used ({said}): {why}.") from error


def _plain(text: str) -> str:
    """Replace lone surrogates, which RE2's UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
