"""The section Models and decoding: configs in a table, grids of them, what they cost, and which candidates are on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from pydantic import ValidationError

from iapo_core.environments.endpoints import KEY_VARIABLES, Endpoint, endpoint_of
from iapo_core.environments.live import LiveSettings
from iapo_core.environments.prices import listed_models
from iapo_core.errors import IapoError
from iapo_core.grids import config_grid, free_name, numbers
from iapo_core.runs.drafts import LOCAL_MODEL, Draft
from iapo_core.task import MAX_SCALE, DecodingConfig
from pages.shell import session
from pages.shell.editor import candidates, state, table

Rows = list[dict[str, Any]]
LOCAL_LABEL = "Local model, no key"
_TEXTS = {"id": "Id", "model": "Model", "system": "System turn", "api_base": "Base URL", "api_key_env": "Key variable"}
_NUMBERS = {
    "temperature": "Temp.",
    "top_p": "Top-p",
    "max_tokens": "Max tokens",
    "usd_per_million_prompt": "$/M in",
    "usd_per_million_completion": "$/M out",
}
LABELS = _TEXTS | _NUMBERS
_ORDER = ("id", "model", "temperature", "top_p", "max_tokens", *list(_TEXTS)[2:], *list(_NUMBERS)[3:])
_OPTIONAL = ("system", "api_base", "api_key_env", "usd_per_million_prompt", "usd_per_million_completion")


def draw(draft: Draft) -> None:
    """Draw the section."""
    st.caption("A candidate is a prompt with a decoding config. Keys are no part of a task; the Run page says which it needs.")
    _grid(draft)
    table.edit(
        "decoding",
        draft["decoding"],
        lambda rows: draft.update(decoding=rows, excluded=candidates.pruned(draft | {"decoding": rows})),
        _frame,
        _rows,
        num_rows="dynamic",
        column_config=_columns(),
        column_order=list(_labels()),
    )
    _prices(draft["decoding"])
    state.bound(
        st.number_input,
        "Largest N",
        int(draft["n_max"] or 1),
        lambda value: draft.update(n_max=int(value)),
        key="n-max",
        min_value=1,
        max_value=MAX_SCALE,
        step=1,
        width=220,
        help="The largest number of completions per query that may be chosen.",
    )
    candidates.draw(draft)


def _labels() -> dict[str, str]:
    return {LABELS[name]: name for name in _ORDER}


def _columns() -> dict[str, Any]:
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    return {
        "Id": text(width="small", max_chars=120, help="Counted where you leave it empty."),
        "Model": text(
            max_chars=200,
            help=f"As LiteLLM spells it, such as openai/gpt-5-mini; {LOCAL_MODEL} is the local model, without a key.",
        ),
        "Temp.": number(
            width="small", min_value=0.0, max_value=5.0, default=1.0, help="Temperature: 0 repeats itself, 1 is usual."
        ),
        "Top-p": number(
            width="small", min_value=0.0, max_value=1.0, default=1.0, help="Cuts unlikely words off; 1 cuts nothing."
        ),
        "Max tokens": number(
            width="small", min_value=1, step=1, default=256, help="Longest answer in tokens; longer ones are cut off."
        ),
        "System turn": text(help="Said before every prompt."),
        "Base URL": text(help="An OpenAI-compatible address; empty for the provider's own."),
        "Key variable": text(help="Name of the environment variable that holds the key, never the key; empty for the usual one."),
        "$/M in": number(
            width="small",
            min_value=0.0,
            help="Dollars per million prompt tokens, where the listed price is missing or not yours. Give both prices.",
        ),
        "$/M out": number(width="small", min_value=0.0, help="Dollars per million completion tokens."),
    }


def _frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(
        {
            label: pd.Series([row.get(name) for row in rows], dtype="object" if name in _TEXTS else "Float64")
            for label, name in _labels().items()
        }
    )


def _rows(frame: pd.DataFrame, base: Rows) -> Rows:
    given = {table.text(name).strip() for name in frame["Id"]}
    found = []
    for row in frame.to_dict("records"):
        values: dict[str, Any] = {}
        for label, name in _labels().items():
            cell = row[label]
            value = (
                table.text(cell).strip() if name in _TEXTS else table.whole(cell) if name == "max_tokens" else table.number(cell)
            )
            if name in _OPTIONAL and value in ("", None):
                continue
            values[name] = value
        if not values["id"]:
            values["id"] = free_name("config", given)
            given.add(values["id"])
        found.append(values)
    return found


def _grid(draft: Draft) -> None:
    """Make configs of several models, temperatures and limits at once."""
    with st.expander("Add models", expanded=not draft["decoding"], icon=":material/grid_on:", key="grid-box"):
        models = st.multiselect(
            "Models",
            [LOCAL_MODEL, *listed_models(tuple(KEY_VARIABLES))],
            key="grid-models",
            format_func=lambda name: f"{LOCAL_LABEL} ({name})" if name == LOCAL_MODEL else name,
            accept_new_options=True,
            placeholder="choose, or type any name that LiteLLM knows",
            help="As LiteLLM spells them: provider/model.",
        )
        left, right = st.columns(2)
        temperatures = left.multiselect(
            "Temperatures", ["0", "0.3", "0.7", "1", "1.3"], default=["1"], key="grid-temperatures", accept_new_options=True,
            help="With 0 all completions of a query are alike, so there N is wasted.",
        )  # fmt: skip
        limits = right.multiselect(
            "Longest answers (tokens)", ["32", "64", "128", "256", "512", "1024", "4096"], default=["256"], key="grid-limits",
            accept_new_options=True,
            help="Longer answers are cut off.",
        )  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                f"Add {len(models) * len(temperatures) * len(limits)} configs" if models else "Add configs",
                icon=":material/add:",
                key="grid-add",
                disabled=not models,
                on_click=_add,
                args=(draft, models, temperatures, limits),
                help="Each model with each temperature and each limit.",
            )
        if refused := st.session_state.pop("grid-refused", None):
            session.explain(refused, "No configs were made.")


def _add(draft: Draft, models: list[str], temperatures: list[str], limits: list[str]) -> None:
    taken = [str(row["id"]) for row in draft["decoding"]]
    try:
        made = config_grid(models, numbers(temperatures, "temperature"), numbers(limits, "limit in tokens"), taken)
    except IapoError as error:
        st.session_state["grid-refused"] = error
        return
    draft["decoding"] = draft["decoding"] + made
    st.session_state["grid-models"] = []
    state.say(f"{len(made)} configs were added.")


def _prices(rows: Rows) -> None:
    """Say what each config's tokens cost, who says so, and where its key is looked for."""
    shown = []
    for row in rows:
        found = reached(row)
        is_known = found is not None and found.price.is_known
        said = "known when the row is in order" if found is None else found.price.source
        shown.append(
            {
                "Config": row["id"],
                "$ per million prompt tokens": _usd(found.price.usd_per_prompt_token) if found and is_known else "–",
                "$ per million completion tokens": _usd(found.price.usd_per_completion_token) if found and is_known else "–",
                "Price by": said if found is None or is_known else "unknown: give both prices, or dollars are not counted",
                "Key variable": (found.slot if found else None) or "no key",
            }
        )
    st.dataframe(shown, hide_index=True, key="prices", height="content" if len(shown) <= 6 else 240)


def reached(row: dict[str, Any]) -> Endpoint | None:
    """Return where a config's model is reached and what it costs; None while the row is not in order."""
    try:
        return endpoint_of(DecodingConfig.model_validate(row), LiveSettings())
    except ValidationError:
        return None


def _usd(value: float) -> str:
    return f"{value * 1e6:,.4g}"
