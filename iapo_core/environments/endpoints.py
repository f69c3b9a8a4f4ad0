"""Where each decoding config's model is reached: address, the slot of its key, its price; one endpoint per config.

What a config names is its own; what it leaves open comes from the run's settings. A key goes to the address that it was named
for and to no other: the run's key goes to the run's address, and an address without a named key gets none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from iapo_core.environments.live import LiveSettings, check_base
from iapo_core.environments.local_model import GGUF
from iapo_core.environments.prices import Price, listed_provider, price_of
from iapo_core.errors import LiveError
from iapo_core.scorers import Judge, make_scorer
from iapo_core.task import DecodingConfig, Task

LOCAL = "local/"  # models that this machine serves itself, without a key
LOCAL_PRICE = Price(0.0, 0.0, "a model on this machine, which costs nothing")
NO_KEY = "no-key-was-given"  # anything but empty: an empty key makes LiteLLM send the operator's own

# LiteLLM's prefixes for servers of one's own, which are always given with an address.
SERVERS = ("hosted_vllm", "llamafile", "lm_studio", "ollama", "ollama_chat")
# LiteLLM's prefixes that anybody may name, and the variable in which each provider's key usually stands. Prefixes that read
# the machine's own credentials or forward to other hosts are left out.
KEY_VARIABLES = {
    "ai21": "AI21_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "cerebras": "CEREBRAS_API_KEY",
    "cohere": "COHERE_API_KEY",
    "cohere_chat": "COHERE_API_KEY",
    "deepinfra": "DEEPINFRA_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "fireworks_ai": "FIREWORKS_AI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "moonshot": "MOONSHOT_API_KEY",
    "nvidia_nim": "NVIDIA_NIM_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "sambanova": "SAMBANOVA_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
    "xai": "XAI_API_KEY",
}


@dataclass(frozen=True)
class Endpoint:
    """One decoding config's model, ready to be called; the key itself is handed over beside it.

    Attributes:
        model: As LiteLLM spells it.
        api_base: The address; None is the provider's own.
        slot: Name of the environment variable in which the key stands; None where no key is sent.
        price: Dollars per token.
    """

    model: str
    api_base: str | None
    slot: str | None
    price: Price

    @property
    def is_plain(self) -> bool:
        """True where the address speaks OpenAI's protocol and no provider's quirks are to be known."""
        return self.api_base is not None and self.model.startswith("openai/")

    def check(self) -> None:
        """Refuse an address or a provider that was not allowed by who runs this machine.

        Raises:
            LiveError: If it is not allowed; nothing was sent.
        """
        check_base(self.api_base)
        allowed = {*KEY_VARIABLES, *(SERVERS if self.api_base is not None else ())}
        if _provider(self.model) not in allowed:
            raise LiveError(
                f"The model {self.model!r} belongs to no provider that may be called here, so nothing was sent; "
                f"its name begins with one of {', '.join(f'{name}/' for name in sorted(allowed))}."
            )

    def key(self, keys: Mapping[str, str]) -> str | None:
        """Return the key to send: the one held in memory, else the environment's. None lets LiteLLM look for its own.

        Raises:
            LiveError: If the slot is empty.
        """
        if self.slot is None:
            return NO_KEY if self.api_base is not None else None
        key = keys.get(self.slot, "").strip() or os.environ.get(self.slot, "").strip()
        if not key:
            raise LiveError(
                f"The environment variable {self.slot} is not set; it should hold the key for {self.model}. Set it where the "
                "worker runs, or type the key for this run."
            )
        return key


def endpoint_of(decoding: DecodingConfig, settings: LiveSettings) -> Endpoint:
    """Return where a config's model is reached under these settings; the local one has no address before its server runs."""
    if decoding.model.startswith(LOCAL):
        return Endpoint(decoding.model, None, None, LOCAL_PRICE)
    base = decoding.api_base or settings.api_base
    slot = decoding.api_key_env
    if slot is None and base == settings.api_base:
        slot = settings.api_key_env
    if slot is None and base is None:
        slot = KEY_VARIABLES.get(_provider(decoding.model))
    return Endpoint(decoding.model, base, slot, price_of(decoding, settings))


def identity_of(decoding: DecodingConfig, settings: LiveSettings) -> str | None:
    """Return what stands for the address in the ledger."""
    if decoding.model.startswith(LOCAL):
        return f"local {GGUF}"  # ports change, the model does not
    if decoding.api_base is None or decoding.api_base == settings.api_base:
        return settings.identity or settings.api_base
    return decoding.api_base


def called_configs(task: Task) -> tuple[DecodingConfig, ...]:
    """Return all decoding configs of a live task, then those of its judges in the order of their objectives.

    Raises:
        ScorerError: If a scorer cannot be made.
    """
    judges = (scorer.decoding for scorer in map(make_scorer, task.objectives) if isinstance(scorer, Judge))
    return (*task.decoding, *judges)


def key_slots(task: Task, settings: LiveSettings) -> dict[str, bool]:
    """Return the variables in which a live task's keys stand, judges' too, and whether each is set in this environment.

    Raises:
        ScorerError: If a scorer cannot be made.
    """
    used = {decoding.id for _, decoding in task.candidates}
    n_own = len(task.decoding)
    called = [config for d, config in enumerate(called_configs(task)) if d >= n_own or config.id in used]
    slots = (endpoint_of(config, settings).slot for config in called)
    return {slot: bool(os.environ.get(slot, "").strip()) for slot in slots if slot is not None}


def _provider(model: str) -> str:
    prefix, slash, _ = model.partition("/")
    return prefix if slash else listed_provider(model)
