"""What live completions are bought with and kept in: settings, the values that travel, and the store's protocol.

The store is handed in, because databases stand above the environments.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iapo_core.address import BaseUrl, Money, VariableName, is_loopback, whole_price
from iapo_core.errors import LiveError

ALLOWED_BASES = "IAPO_ALLOWED_BASE_URLS"


Rate = Annotated[int, Field(ge=1, le=1_000_000_000)]


class RateLimits(BaseModel):
    """What a provider allows of one model per minute; None is no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None


class LiveSettings(BaseModel):
    """How a run buys completions; keys are named by their environment variable and never stored.

    Address, key variable and prices are those of decoding configs that name none. `requests_per_minute` and
    `tokens_per_minute` hold for each model by itself, `limits` for the models that it names.
    `allowance` is how many completions beyond the budget may replace those that were in flight when a process died; the
    concurrency where it is None. Prices are in dollars per million tokens and take the place of the known ones. `identity`
    is what stands for the model's address in the ledger where the address itself changes; the base URL where it is None.
    `route` is how plain OpenAI-compatible addresses are spoken to: through LiteLLM, directly, or by the number of calls at once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    allowance: Annotated[int, Field(ge=0, le=100_000)] | None = None
    max_usd: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    n_tries: Annotated[int, Field(ge=1, le=20)] = 5
    heldout_share: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    api_base: BaseUrl | None = None
    identity: Annotated[str, Field(max_length=200)] | None = None
    api_key_env: VariableName | None = None
    usd_per_million_prompt: Money | None = None
    usd_per_million_completion: Money | None = None
    route: Literal["auto", "litellm", "direct"] = "auto"
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    limits: dict[str, RateLimits] = Field(default_factory=dict, max_length=100)

    @model_validator(mode="after")
    def _whole_price(self) -> Self:
        whole_price(self.usd_per_million_prompt, self.usd_per_million_completion)
        return self

    def rate_limits(self, model: str) -> RateLimits:
        """Return what is allowed of a model per minute."""
        everywhere = RateLimits(requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute)
        return self.limits.get(model, everywhere)

    @property
    def lost_allowance(self) -> int:
        """Completions beyond the budget that may replace lost ones."""
        return self.concurrency if self.allowance is None else self.allowance

    def check_base(self) -> None:
        """Refuse a base URL that neither is on this machine nor was allowed by who runs it.

        Raises:
            LiveError: If it is not allowed; nothing was sent.
        """
        check_base(self.api_base)


def check_base(api_base: str | None) -> None:
    """Refuse a base URL that neither is on this machine nor was allowed by who runs it.

    Raises:
        LiveError: If it is not allowed; nothing was sent.
    """
    if api_base is None or is_loopback(urlsplit(api_base).hostname or ""):
        return
    allowed = [address.strip().rstrip("/") for address in os.environ.get(ALLOWED_BASES, "").split(",")]
    if api_base not in allowed:
        raise LiveError(
            f"The base URL {api_base} is not allowed here, so nothing was sent; whoever runs this worker can allow it in "
            f"{ALLOWED_BASES}."
        )


class Key(NamedTuple):
    """One independent draw: `cell` is the hash of what is asked of which model, `sample` counts the draws."""

    cell: str
    sample: int


@dataclass(frozen=True)
class Wanted:
    """A completion to buy, with the most that it can cost and names for people."""

    key: Key
    worst_usd: float
    model: str
    prompt: str
    query: str
    messages: tuple[dict[str, str], ...] = field(repr=False)
    decoding: int = 0
    kind: Literal["completion", "verdict"] = "completion"


@dataclass(frozen=True)
class Answer:
    """A completion as stored. One with an `error` scores each objective's minimum and votes for nothing.

    Attributes:
        usd: What it cost; the most that it can have cost where the usage is unknown, nan where the price is.
        is_reused: True where another run has paid for it.
        is_counted: False where the provider gave no usable usage, so that tokens are estimated from the text.
    """

    text: str = ""
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    latency_s: float = 0.0
    served_model: str | None = None
    error: str | None = None
    is_counted: bool = True
    is_reused: bool = False


class Progress(NamedTuple):
    """How the buying goes, for those who watch."""

    n_in_flight: int = 0
    n_reused: int = 0
    n_unread: int = 0
    waiting: str = ""


class Reserved(NamedTuple):
    """Which completions are ours to buy, and why the rest is not where the caps refuse them."""

    keys: frozenset[Key]
    refusal: str | None


Settled = tuple[Key, Answer, Literal["settled", "failed"]]


class CompletionSource(Protocol):
    """Where stored completions are read."""

    def load(self, cells: Sequence[str]) -> dict[Key, Answer]:
        """Return what is settled of these cells."""
        ...


class CompletionStore(CompletionSource, Protocol):
    """Where completions are reserved before a call and settled after it; every method is one transaction."""

    def exchange(
        self, answers: Sequence[Settled], released: Sequence[Key], wanted: Sequence[Wanted], progress: Progress
    ) -> Reserved:
        """Store what came, give back what cannot have been billed, reserve what nobody else has and the caps allow."""
        ...
