"""How a live run buys: caps, calls at once, address, key variable and price, and what that can cost at most."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from iapo_core.environments.live import LiveSettings
from iapo_core.errors import IapoError
from iapo_core.task_file import findings
from pages.shell import session, words

LABELS = {
    "max_usd": "The dollar cap",
    "concurrency": "The number of calls at once",
    "api_base": "The base URL",
    "api_key_env": "The key's environment variable",
    "usd_per_million_prompt": "The price of prompt tokens",
    "usd_per_million_completion": "The price of completion tokens",
    "requests_per_minute": "The requests per minute",
    "tokens_per_minute": "The tokens per minute",
    "allowance": "R",
}


def settings() -> LiveSettings | None:
    """Draw the fields; None where they do not fit together, with the reason.

    Numbers have no limits of their own: what the browser refuses, Streamlit drops without a word, and no cap at all would count.
    """
    st.subheader("Buying", anchor=False)
    st.session_state.setdefault("concurrency", 16)
    left, right = st.columns(2)
    with left:
        max_usd = st.number_input("Dollar cap", value=None, placeholder="none", key="max-usd", help="Spending never passes it.")
        price_in = st.number_input(
            "$ per million prompt tokens",
            value=None,
            placeholder="as listed",
            key="price-in",
            help="Only where the model's price is not listed, or yours differs.",
        )
        base = st.text_input(
            "Base URL",
            key="api-base",
            placeholder="the provider's own",
            help="An OpenAI-compatible address on this machine, ending in /v1; others must be allowed by who runs the worker.",
        )
    with right:
        concurrency = st.number_input(
            "Calls at once",
            step=1,
            key="concurrency",
            help="Calls in flight; slows down by itself.",
        )
        price_out = st.number_input(
            "$ per million completion tokens",
            value=None,
            placeholder="as listed",
            key="price-out",
            help="Goes with the price of prompt tokens.",
        )
        variable = st.text_input(
            "Key's environment variable",
            key="api-key-env",
            placeholder="the provider's own",
            help="Its name, never the key itself. The worker reads it where it runs.",
        )
    try:
        chosen = LiveSettings(
            max_usd=max_usd,
            concurrency=int(concurrency),
            api_base=base.strip() or None,
            api_key_env=variable.strip() or None,
            usd_per_million_prompt=price_in,
            usd_per_million_completion=price_out,
            **_limits(),
        )
        chosen.check_base()
    except ValidationError as error:
        for loc, reason in findings(error):  # which does not repeat what may be a key
            label = f"{LABELS[str(loc[0])]} cannot be used: " if loc else ""
            st.error(words.escape(f"{label}{reason}."), icon=":material/error:")
    except IapoError as error:
        session.explain(error, "This address cannot be used.")
    else:
        return chosen
    return None


def _limits() -> dict[str, int | None]:
    """Draw what few need: rates per minute, and R."""
    with st.expander("Rate limits and recovery", key="limits", type="compact"):
        left, right = st.columns(2)
        with left:
            rpm = st.number_input(
                "Requests per minute", step=1, value=None, placeholder="no limit", key="rpm", help="What each model allows."
            )
            allowance = st.number_input(
                "R, completions in place of lost ones",
                step=1,
                value=None,
                placeholder="as many as calls at once",
                key="allowance",
                help="Calls in flight when a process dies count as bought. With 0 they are not bought again, and the run ends short.",
            )
        with right:
            tpm = st.number_input(
                "Tokens per minute", step=1, value=None, placeholder="no limit", key="tpm", help="What each model allows."
            )
    return {"requests_per_minute": rpm, "tokens_per_minute": tpm, "allowance": allowance}


def prefill(live: LiveSettings) -> None:
    """Put a run's settings into the fields, to run it again."""
    for key, value in (
        ("max-usd", live.max_usd),
        ("price-in", live.usd_per_million_prompt),
        ("price-out", live.usd_per_million_completion),
        ("api-base", live.api_base or ""),
        ("api-key-env", live.api_key_env or ""),
        ("concurrency", live.concurrency),
        ("allowance", live.allowance),
        ("rpm", live.requests_per_minute),
        ("tpm", live.tokens_per_minute),
    ):
        st.session_state[key] = value
