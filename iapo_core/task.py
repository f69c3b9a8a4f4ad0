"""What a user brings: prompts, decoding configs, queries, objectives and contexts.

The models are frozen and check themselves at construction, so that a task that exists can be run.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from iapo_core.address import BaseUrl, Money, VariableName, whole_price
from iapo_core.errors import ContextError, TaskError

MAX_PROMPT_CHARACTERS = 32_000
MAX_QUERIES = 20_000
MAX_PROMPTS = 2_000
MAX_SCALE = 256

Strategy = Literal["majority_vote", "best_of_n", "mixed"]
Amount = TypeVar("Amount", float, NDArray[np.floating])
Role = Literal["system", "user", "assistant"]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/+@-]{0,119}$")]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
PromptText = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS)]

# A doubled brace is a brace: {{name}} reads {name}, and no query fills it in.
_PLACEHOLDER = re.compile(r"\{(\{[A-Za-z_]\w*\})\}|\{([A-Za-z_]\w*)\}")


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Value):
    """One role-tagged turn of a prompt; `{field}` marks what a query fills in."""

    role: Role
    content: PromptText

    @field_validator("content")
    @classmethod
    def _not_blank(cls, content: str) -> str:
        if not content.strip():
            raise ValueError("a prompt is blank; write its text or remove it")
        return content


class Prompt(_Value):
    """A template: a list of role-tagged messages, the last of which the model answers."""

    id: Identifier
    title: str = ""
    messages: tuple[Message, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _single_turn(cls, data: Any) -> Any:
        """Accept `template: "..."` as shorthand for one user turn."""
        if isinstance(data, dict) and "template" in data and "messages" not in data:
            rest = {k: v for k, v in data.items() if k != "template"}
            return {**rest, "messages": [{"role": "user", "content": data["template"]}]}
        return data

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the query fields that the template asks for."""
        return frozenset(name for m in self.messages for _, name in _PLACEHOLDER.findall(m.content) if name)

    def render(self, fields: dict[str, str]) -> list[dict[str, str]]:
        """Fill the query's fields in, in one pass: values are never expanded again.

        Raises:
            TaskError: If the template asks for a field that the query lacks.
        """

        def fill(match: re.Match[str]) -> str:
            if match[1]:
                return match[1]
            try:
                return fields[match[2]]
            except KeyError:
                raise TaskError(
                    f"Prompt {self.id!r} asks for the field {{{match[2]}}}, which the query does not have; "
                    f"it has {_listed(fields)}."
                ) from None

        return [{"role": m.role, "content": _PLACEHOLDER.sub(fill, m.content)} for m in self.messages]


class DecodingConfig(_Value):
    """How the model is called: part of the candidate, beside the prompt.

    `system` is said before every prompt. `api_base` and `api_key_env` (the name of an environment variable, never a key) say
    where the model is reached, the provider's own where they are None. Prices are dollars per million tokens and take the place
    of the listed ones.
    """

    id: Identifier
    model: Annotated[str, Field(min_length=1, max_length=200)]
    temperature: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=200_000)] = 256
    system: PromptText | None = None
    api_base: BaseUrl | None = None
    api_key_env: VariableName | None = None
    usd_per_million_prompt: Money | None = None
    usd_per_million_completion: Money | None = None

    @model_validator(mode="after")
    def _whole_price(self) -> Self:
        whole_price(self.usd_per_million_prompt, self.usd_per_million_completion)
        return self

    def messages(self, prompt: Prompt, fields: dict[str, str]) -> list[dict[str, str]]:
        """Render the prompt for one query, with `system` at the head of its system turn.

        Raises:
            TaskError: If the prompt asks for a field that the query lacks.
        """
        turns = prompt.render(fields)
        if self.system is None:
            return turns
        if turns[0]["role"] == "system":
            return [{"role": "system", "content": f"{self.system}\n\n{turns[0]['content']}"}, *turns[1:]]
        return [{"role": "system", "content": self.system}, *turns]


class Query(_Value):
    """One input with its fields and, where there is one, the gold answer."""

    id: Identifier
    fields: dict[str, str] = Field(min_length=1)
    gold: str | tuple[str, ...] | None = None


class Objective(_Value):
    """A bounded score of one completion, computed by a registered scorer."""

    id: Identifier
    title: str = ""
    scorer: Annotated[str, Field(min_length=1)]
    params: dict[str, Any] = Field(default_factory=dict)
    range: tuple[float, float] = (0.0, 1.0)

    @field_validator("range")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not (-1e6 < low < high < 1e6):
            raise ValueError(f"the range must be two finite numbers, low before high, not {low} and {high}")
        return value


class CostModel(_Value):
    """Cost of one completion, linear in its tokens, dollars and seconds; in the unit that cost weights refer to."""

    unit: str = "1000 completion tokens"
    per_prompt_token: Weight = 0.0
    per_completion_token: Weight = 0.001
    per_usd: Weight = 0.0
    per_second: Weight = 0.0

    def cost(self, *, prompt_tokens: Amount, completion_tokens: Amount, usd: Amount, seconds: Amount) -> Amount:
        """Return the cost of one completion, or of an array of them; what weighs nothing may be unknown."""
        cost: Amount = self.per_prompt_token * prompt_tokens + self.per_completion_token * completion_tokens
        if self.per_usd > 0:
            cost += self.per_usd * usd
        return cost + self.per_second * seconds


class Context(_Value):
    """A preference: one weight per objective and one for cost."""

    id: Identifier
    title: str = ""
    weights: dict[str, Weight] = Field(min_length=1)
    cost_weight: Weight = 0.0


class Excluded(_Value):
    """A candidate that is switched off: a prompt with a decoding config, by their ids."""

    prompt: Identifier
    decoding: Identifier


class Task(_Value):
    """Everything that defines a joint choice of prompt and inference scale.

    `origin` says where completions come from: a recording of a real model, a simulation, or live calls.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(alias="schema")
    id: Identifier
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: str = ""
    origin: Literal["recorded", "simulated", "live"]
    strategy: Strategy
    n_max: Annotated[int, Field(ge=1, le=MAX_SCALE)]
    objectives: tuple[Objective, ...] = Field(min_length=1, max_length=16)
    cost: CostModel = CostModel()
    contexts: tuple[Context, ...] = Field(min_length=1, max_length=2_000)
    decoding: tuple[DecodingConfig, ...] = Field(min_length=1)
    prompts: tuple[Prompt, ...] = Field(min_length=1, max_length=MAX_PROMPTS)
    queries: tuple[Query, ...] = Field(min_length=2, max_length=MAX_QUERIES)
    excluded: tuple[Excluded, ...] = ()
    recording: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := list(self._inconsistencies()):
            raise ValueError("\n".join(found))
        return self

    def _inconsistencies(self) -> Iterator[str]:
        """Yield what does not go together, each as a clause with its place."""
        named: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("objectives", self.objectives),
            ("contexts", self.contexts),
            ("decoding", self.decoding),
            ("prompts", self.prompts),
            ("queries", self.queries),
        )
        for what, items in named:
            seen: dict[str, int] = {}
            for row, item in enumerate(items, start=1):
                if item.id in seen:
                    yield f"{what}: the id {item.id!r} stands in rows {seen[item.id]} and {row}; give each row its own id"
                seen[item.id] = row
        known = {o.id for o in self.objectives}
        for row, context in enumerate(self.contexts, start=1):
            if unknown := sorted(set(context.weights) - known):
                yield (
                    f"contexts row {row} ({context.id!r}) weighs {_listed(unknown)}, which is no objective; "
                    f"objectives are {_listed(known)}"
                )
        shared = frozenset.intersection(*(frozenset(q.fields) for q in self.queries))
        for row, prompt in enumerate(self.prompts, start=1):
            if missing := sorted(prompt.placeholders - shared):
                yield (
                    f"prompts row {row} ({prompt.id!r}) asks for {_listed(missing)}, which not every query has; "
                    f"fields that every query has: {_listed(shared)}{_meant(missing, shared)}"
                )
            if prompt.messages[-1].role != "user":
                yield f"prompts row {row} ({prompt.id!r}) must end with a user turn, which the model answers"
        for row, off in enumerate(self.excluded, start=1):
            for what, name, items in (("prompt", off.prompt, self.prompts), ("decoding", off.decoding, self.decoding)):
                if name not in {item.id for item in items}:
                    yield f"excluded row {row} names the {what} {name!r}, which this task does not have; remove the row"
        if not self.candidates:
            yield "every candidate is switched off; switch at least one prompt with one decoding config on"

    @property
    def candidates(self) -> tuple[tuple[Prompt, DecodingConfig], ...]:
        """Every prompt with every decoding config, but for those that are switched off; P pairs, prompts first."""
        off = {(one.prompt, one.decoding) for one in self.excluded}
        return tuple((p, d) for p in self.prompts for d in self.decoding if (p.id, d.id) not in off)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the task's content; two tasks with the same one are the same task."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def context(self, context_id: str) -> Context:
        """Return the context with this id.

        Raises:
            ContextError: If the task has none.
        """
        for context in self.contexts:
            if context.id == context_id:
                return context
        raise ContextError(
            f"There is no context {context_id!r} in task {self.id!r}; it has {_listed(c.id for c in self.contexts)}."
        )


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    head = ", ".join(repr(n) for n in ordered[:12])
    return (head or "none") + (f" and {len(ordered) - 12} more" if len(ordered) > 12 else "")


def _meant(missing: list[str], known: Iterable[str]) -> str:
    """Return what to do about fields that are not there: the likely one, or how to write the braces themselves."""
    near = [found for name in missing for found in difflib.get_close_matches(name, list(known), n=1)]
    return f"; did you mean {{{near[0]}}}?" if near else f"; write {{{{{missing[0]}}}}} for the braces themselves"
