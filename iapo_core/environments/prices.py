"""What a model's tokens cost, where that is known, and the most that a call can cost."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from iapo_core.environments.live import LiveSettings

_TURN_TOKENS = 16  # what a chat template puts around a turn, generously


@dataclass(frozen=True)
class Price:
    """Dollars per token, nan where unknown, and who says so."""

    usd_per_prompt_token: float
    usd_per_completion_token: float
    source: str

    @property
    def is_known(self) -> bool:
        """True where dollars can be counted."""
        return not math.isnan(self.usd_per_prompt_token + self.usd_per_completion_token)

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the dollars of a call, nan where the price is unknown."""
        return self.usd_per_prompt_token * prompt_tokens + self.usd_per_completion_token * completion_tokens

    def worst_usd(self, messages: Sequence[dict[str, str]], max_tokens: int) -> float:
        """Return the most that a call can cost: no token is shorter than a byte. 0 where the price is unknown."""
        if not self.is_known:
            return 0.0
        n_bytes = sum(len(m["content"].encode()) + _TURN_TOKENS for m in messages)
        return self.usd(n_bytes, max_tokens)


def price_of(model: str, settings: LiveSettings) -> Price:
    """Return the price that the user gave, else the one in LiteLLM's table; at another address nothing is known."""
    if settings.usd_per_million_prompt is not None and settings.usd_per_million_completion is not None:
        given = (settings.usd_per_million_prompt / 1e6, settings.usd_per_million_completion / 1e6)
        return Price(*given, "the price given for this run")
    if settings.api_base is None:
        litellm = imported_litellm()
        try:
            info = litellm.get_model_info(model)
            known = (float(info["input_cost_per_token"]), float(info["output_cost_per_token"]))
        except Exception:  # noqa: S110 - it raises a bare Exception for a model that it does not know
            pass
        else:
            if all(math.isfinite(part) and part >= 0 for part in known) and sum(known) > 0:
                return Price(*known, f"the price table of LiteLLM {version('litellm')}")
    return Price(math.nan, math.nan, "unknown")


def imported_litellm() -> Any:
    """Import LiteLLM (seconds) so that it asks no other host for prices and prints nothing."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm
