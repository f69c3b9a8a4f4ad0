"""What a scorer is and takes, read off its factory: one sentence, and its parameters with types, defaults and help.

A factory says so in its own signature, so that no second description can fall behind it:

    def __init__(self, group: Annotated[int, "Which group of the pattern is the answer."] = 0) -> None:

Help, forms and checks of a task's `params` all come from there. A plug-in without annotations works as well; its parameters
are then any JSON value and have no help.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from iapo_core.errors import ScorerError

Kind = Literal["switch", "integer", "number", "choice", "text", "prose", "texts", "json"]
PROSE = "prose"  # marks a text of several lines: Annotated[str, "help", PROSE]
RANGE = "objective_range"  # a factory that names it is told the objective's range; it is no parameter of the task

_WORDS: dict[Kind, str] = {
    "switch": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "choice": "one of",
    "text": "a text",
    "prose": "a text",
    "texts": "a list of texts, none of them blank",
    "json": "a JSON value",
}


@dataclass(frozen=True)
class Parameter:
    """One keyword of a scorer's factory.

    Attributes:
        name: As it stands in an objective's `params`.
        kind: What values it takes.
        help: A sentence for people; empty where the factory gives none.
        is_required: True where it has no default.
        default: What holds where it is left out; None may mean "not set".
        options: The values of a choice.
        is_optional: True where None is a value.
    """

    name: str
    kind: Kind
    help: str = ""
    is_required: bool = True
    default: Any = None
    options: tuple[str, ...] = ()
    is_optional: bool = False

    def accepts(self, value: Any) -> bool:
        """Return whether a value is of this kind."""
        if value is None:
            return self.is_optional
        if self.kind == "switch":
            return isinstance(value, bool)
        if self.kind in ("integer", "number"):
            numeric = int if self.kind == "integer" else (int, float)
            return isinstance(value, numeric) and not isinstance(value, bool) and math.isfinite(value)
        if self.kind == "texts":
            return isinstance(value, list | tuple) and all(isinstance(one, str) and one.strip() for one in value)
        if self.kind == "choice":
            return value in self.options
        return isinstance(value, str) or self.kind == "json"

    @property
    def wanted(self) -> str:
        """What values it takes, in words."""
        return _WORDS[self.kind] + (f" {', '.join(map(repr, self.options))}" if self.kind == "choice" else "")


def is_plain(loaded: Callable[..., Any]) -> bool:
    """Return whether a plug-in is a plain function `f(text, query)` that gives a score, and no factory of scorers."""
    return inspect.isroutine(loaded) and list(inspect.signature(loaded).parameters)[:2] == ["text", "query"]


def parameters_of(factory: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return what the factory takes beside the objective's range; of a plain function, what follows text and query."""
    target: Any = factory.__init__ if inspect.isclass(factory) else factory
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # names that only a type checker knows
        hints = {}
    skipped = {"self", RANGE} | ({"text", "query"} if is_plain(factory) else set())
    return tuple(
        _parameter(one, hints.get(name, Any))
        for name, one in inspect.signature(target).parameters.items()
        if name not in skipped and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    )


def check_params(params: Mapping[str, Any], known: Sequence[Parameter]) -> None:
    """Refuse params that are unknown, missing or of another kind.

    Raises:
        ScorerError: With the first of them.
    """
    names = {one.name: one for one in known}
    if unknown := sorted(set(params) - set(names)):
        raise ScorerError(f"it takes no {unknown[0]!r}; it takes {', '.join(sorted(names)) or 'no params'}.")
    for one in known:
        if one.name not in params:
            if one.is_required:
                raise ScorerError(f"it needs `{one.name}`, {one.wanted}: {one.help or 'add it.'}")
        elif not one.accepts(params[one.name]):
            raise ScorerError(f"`{one.name}` is {one.wanted}, not {_shown(params[one.name])}.")


def _parameter(one: inspect.Parameter, hint: Any) -> Parameter:
    extras: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        extras = tuple(rest)
    is_optional = False
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        is_optional = len(members) < len(get_args(hint))
        hint = members[0] if len(members) == 1 else Any
    is_required = one.default is one.empty
    return Parameter(
        name=one.name,
        kind=_kind(hint, is_prose=PROSE in extras),
        help=next((extra for extra in extras if isinstance(extra, str) and extra != PROSE), ""),
        is_required=is_required,
        default=None if is_required else one.default,
        options=tuple(map(str, get_args(hint))) if get_origin(hint) is Literal else (),
        is_optional=is_optional or (not is_required and one.default is None),
    )


def _kind(hint: Any, *, is_prose: bool) -> Kind:
    if get_origin(hint) is Literal:
        return "choice"
    if get_origin(hint) in (Sequence, list, tuple) and get_args(hint)[:1] == (str,):
        return "texts"
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number", str: "prose" if is_prose else "text"}
    return kinds.get(hint, "json")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@dataclass(frozen=True)
class Described:
    """A scorer for people and forms.

    Attributes:
        name: Of its entry point.
        description: What it does, in one sentence.
        parameters: What an objective's `params` may hold.
        is_voting: True where it can read an answer to vote for.
        is_judge: True where it asks a model.
        needs_gold: True where it compares with the query's gold answer unless its params say otherwise.
        package: The distribution that brings it, with its version.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    is_voting: bool
    is_judge: bool
    needs_gold: bool
    package: str
