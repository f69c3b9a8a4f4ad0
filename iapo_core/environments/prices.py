"""What a model's tokens cost, where that is known, and the most that a call can cost."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from iapo_core.environments.live import LiveSettings
from iapo_core.task import DecodingConfig

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


def price_of(decoding: DecodingConfig, settings: LiveSettings) -> Price:
    """Return the price of the config, else of the run, else the one in LiteLLM's table; at another address none is known."""
    for given, source in ((decoding, "the price given in the task"), (settings, "the price given for this run")):
        if given.usd_per_million_prompt is not None and given.usd_per_million_completion is not None:
            return Price(given.usd_per_million_prompt / 1e6, given.usd_per_million_completion / 1e6, source)
    if decoding.api_base is None and settings.api_base is None:
        row = _listed(decoding.model)
        prompt, completion = (_dollars(row.get(part)) for part in ("input_cost_per_token", "output_cost_per_token"))
        if prompt + completion > 0:
            return Price(prompt, completion, f"the price table of LiteLLM {version('litellm')}")
    return Price(math.nan, math.nan, "unknown")


def listed_models(providers: Sequence[str]) -> list[str]:
    """Return the chat models of these providers in LiteLLM's table, spelled provider/model."""
    found = {
        name if "/" in name else f"{row['litellm_provider']}/{name}"
        for name, row in _table().items()
        if row.get("mode") == "chat" and row.get("litellm_provider") in providers and not name.startswith("ft:")
    }
    return sorted(found)


def listed_provider(model: str) -> str:
    """Return the provider of a model that is named without one; empty where LiteLLM's table does not have it."""
    return str(_listed(model).get("litellm_provider", ""))


def _listed(model: str) -> dict[str, Any]:
    listed = _table()
    return dict(listed.get(model) or listed.get(model.partition("/")[2]) or {})


@cache
def _table() -> dict[str, Any]:
    """Read LiteLLM's price table from its file: importing the package takes seconds, and pages must not."""
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _dollars(value: Any) -> float:
    """Return a listed price, nan where it is none."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value >= 0 else math.nan


def imported_litellm() -> Any:
    """Import LiteLLM (seconds) so that it asks no other host for prices and prints nothing."""
    is_first = "litellm" not in sys.modules
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    if is_first:
        gc.collect()
        gc.freeze()  # its hundred thousand objects stay; each full collection would look at them for a quarter of a second
    return litellm
