"""Policy: which arm to deploy in each context, and how to aggregate its completions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iapo_core.arms import Arm, Grid, IntArray
from iapo_core.errors import ContextError, PolicyError
from iapo_core.scorers import Judge, make_scorer
from iapo_core.task import DecodingConfig, Objective, Prompt, Query, Strategy, Task
from iapo_core.utility import select_completion


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(_Value):
    """A figure with its 95 % interval and the queries behind it."""

    value: float
    low: float
    high: float
    n_queries: int
    source: Literal["train", "heldout"]


class Choice(_Value):
    """The arm for one context, with what is known of it."""

    context: str
    weights: dict[str, float]
    cost_weight: float
    candidate: str
    n: Annotated[int, Field(ge=1)]
    estimate: Estimate | None = None


class Deployed(_Value):
    """What a candidate is made of, so that a policy can be deployed without its task."""

    prompt: Prompt
    decoding: DecodingConfig


class Policy(_Value):
    """context -> arm (Mahmud et al., AAAI-26: pi: C -> A), frozen; JSON in, JSON out."""

    format: Literal["iapo-policy/1"] = "iapo-policy/1"
    task: str
    is_simulated: bool
    strategy: Strategy
    choices: tuple[Choice, ...] = Field(min_length=1)
    objectives: tuple[Objective, ...] = ()
    candidates: dict[str, Deployed] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_choice_per_context(self) -> Policy:
        ids = [c.context for c in self.choices]
        if len(set(ids)) != len(ids):
            raise ValueError("two choices are for the same context; keep one")
        return self

    @classmethod
    def from_picks(
        cls,
        grid: Grid,
        candidates: IntArray,
        scales: IntArray,
        *,
        task: str,
        strategy: Strategy,
        objectives: Sequence[str],
        is_simulated: bool,
    ) -> Policy:
        """Build the policy from candidate rows and scales, both of shape (C,)."""
        contexts = grid.contexts
        return cls(
            task=task,
            is_simulated=is_simulated,
            strategy=strategy,
            choices=tuple(
                Choice(
                    context=contexts.ids[c],
                    weights=dict(zip(objectives, map(float, contexts.weights[c]), strict=True)),
                    cost_weight=float(contexts.cost_weights[c]),
                    candidate=grid.candidates[int(candidates[c])],
                    n=int(scales[c]),
                )
                for c in range(len(contexts))
            ),
        )

    @property
    def contexts(self) -> tuple[str, ...]:
        """Names of the contexts that the policy serves."""
        return tuple(choice.context for choice in self.choices)

    def choice(self, context: str) -> Choice:
        """Return the choice for a context.

        Raises:
            ContextError: If the policy does not serve it; there is no default arm.
        """
        for choice in self.choices:
            if choice.context == context:
                return choice
        raise ContextError(f"This policy has no context {context!r}; it serves {', '.join(map(repr, self.contexts[:30]))}.")

    def arm(self, context: str) -> Arm:
        """Return the arm for a context.

        Raises:
            ContextError: If the policy does not serve it.
        """
        choice = self.choice(context)
        return Arm(choice.candidate, choice.n)

    def with_task(self, task: Task) -> Policy:
        """Carry the prompts, decoding configs and scorers that deployment needs."""
        deployed = {}
        for prompt, decoding in task.candidates:
            name = candidate_name(prompt, decoding, task)
            if any(choice.candidate == name for choice in self.choices):
                deployed[name] = Deployed(prompt=prompt, decoding=decoding)
        return self.model_copy(update={"candidates": deployed, "objectives": task.objectives})

    def messages(self, context: str, fields: dict[str, str]) -> list[dict[str, str]]:
        """Render the chosen prompt for one query's fields.

        Raises:
            PolicyError: If the policy carries no prompts.
            TaskError: If the prompt asks for a field that is missing.
        """
        deployed = self._deployed(context)
        return deployed.decoding.messages(deployed.prompt, fields)

    def aggregate(self, context: str, completions: Sequence[str], query: Query) -> str:
        """Return the completion (or the voted answer) that the policy stands for.

        Args:
            context: A context of the policy.
            completions: The N texts that the chosen arm produced for the query.
            query: The query; its gold answer is used only by scorers that need it.

        Raises:
            PolicyError: If there are no completions or the policy carries no scorers.
        """
        choice = self.choice(context)
        if not completions:
            raise PolicyError("There are no completions to aggregate; sample the chosen arm first.")
        if not self.objectives:
            raise PolicyError("This policy carries no scorers; export it again from its task.")
        scorers = [make_scorer(objective) for objective in self.objectives]
        judge = next((o for o, s in zip(self.objectives, scorers, strict=True) if isinstance(s, Judge)), None)
        if judge is not None and self.strategy != "majority_vote":
            raise PolicyError(
                f"The objective {judge.id!r} is judged by a model, which nothing asks here; score the completions with your own calls."
            )
        votes = [scorers[0].extract(text, query) for text in completions] if self.strategy != "best_of_n" else None
        scores = [[s.score(text, query) for s in scorers] for text in completions] if self.strategy != "majority_vote" else None
        weights = [choice.weights.get(o.id, 0.0) for o in self.objectives]
        folded = None if votes is None else [None if vote is None else vote.casefold() for vote in votes]
        winner = select_completion(self.strategy, weights, folded, scores)
        return completions[winner] if votes is None or self.strategy == "mixed" else (votes[winner] or completions[winner])

    def to_json(self) -> str:
        """Return the policy as JSON text; the same policy gives the same text."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the policy as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str = "policy") -> Policy:
        """Read a policy from JSON text.

        Raises:
            PolicyError: With the place and the reason.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise PolicyError(f"{source}: {place}: {first['msg']}; export the policy again.") from error

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy file.

        Raises:
            PolicyError: If the file cannot be read or holds no policy.
        """
        try:
            raw = Path(path).read_bytes()
        except OSError as error:
            raise PolicyError(f"{path}: cannot be read ({error.strerror}); give the JSON file of an exported policy.") from error
        return cls.from_json(raw, source=str(path))

    def _deployed(self, context: str) -> Deployed:
        name = self.arm(context).candidate
        try:
            return self.candidates[name]
        except KeyError:
            raise PolicyError(f"This policy carries no prompt for {name!r}; export it again from its task.") from None


def candidate_name(prompt: Prompt, decoding: DecodingConfig, task: Task) -> str:
    """Name a candidate: the prompt's id, and the decoding config's where a task has several."""
    return prompt.id if len(task.decoding) == 1 else f"{prompt.id} @ {decoding.id}"
