"""How a live run buys: caps, calls at once, address, key variable and price, and what that can cost at most."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from iapo_core.environment import Environment
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.prices import price_of
from iapo_core.errors import IapoError
from pages.shell import session, tasks, words

_SAMPLED = 50  # queries that stand for all in the plan's estimate of the longest prompt


def settings() -> LiveSettings | None:
    """Draw the fields; None where they do not fit together, with the reason."""
    st.subheader("Buying", anchor=False)
    left, right = st.columns(2)
    with left:
        max_usd = st.number_input(
            "Dollar cap", min_value=0.0001, value=None, placeholder="none", key="max-usd", help="Spending never passes it."
        )
        price_in = st.number_input(
            "$ per million prompt tokens",
            min_value=0.0,
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
            min_value=1,
            max_value=1024,
            value=16,
            key="concurrency",
            help="Calls in flight; slows down by itself.",
        )
        price_out = st.number_input(
            "$ per million completion tokens",
            min_value=0.0,
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
        )
        chosen.check_base()
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        st.error("This cannot be used: " + words.escape(reason), icon=":material/error:")
    except IapoError as error:
        session.explain(error, "This address cannot be used.")
    else:
        return chosen
    return None


def plan(environment: Environment, live: LiveSettings, budget: int) -> bool:
    """Say what the run can cost; False where a dollar cap has no price to count by."""
    task = tasks.described(environment)
    if task is None:
        return False
    n_aside, n_most = int(live.heldout_share * budget), budget + live.lost_allowance
    st.caption(
        f"{n_aside:,} of the {budget:,} completions are set aside to check the picks on held-out queries. At most {n_most:,} can "
        f"be billed: {live.lost_allowance:,} more than the budget, should a process die with calls in flight."
    )
    prices = [price_of(decoding, live) for decoding in task.decoding]
    if unknown := [d.model for d, price in zip(task.decoding, prices, strict=True) if not price.is_known]:
        st.warning(
            f"The price of {words.escape(unknown[0])} is not known, so dollars are not counted. Give both prices to count them.",
            icon=":material/info:",
        )
        return live.max_usd is None
    of = {decoding.id: price for decoding, price in zip(task.decoding, prices, strict=True)}
    worst = max(
        of[decoding.id].worst_usd(decoding.messages(prompt, query.fields), decoding.max_tokens)
        for prompt, decoding in task.candidates
        for query in task.queries[:_SAMPLED]
    )
    most = worst * n_most if live.max_usd is None else min(worst * n_most, live.max_usd)
    sources = "; ".join(sorted({price.source for price in prices}))
    st.caption(
        f"At most about {most:.4f} dollars, by {words.escape(sources)}: every prompt token a byte, every answer at its limit."
    )
    return True
