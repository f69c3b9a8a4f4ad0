"""What a completion costs, in words: one of a few models, or a mix of one's own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from iapo_core.task import CostModel
from pages.shell import words

MIX = "A mix of my own"
PRESETS: dict[str, tuple[CostModel, str]] = {
    "Tokens written": (CostModel(), "Thousands of completion tokens. Longer answers cost more; long prompts are free."),
    "Tokens read and written": (
        CostModel(per_prompt_token=0.0001),
        "Thousands of completion tokens; a prompt token costs a tenth of one, which is about what providers charge.",
    ),
    "Dollars": (
        CostModel(unit="dollars", per_completion_token=0.0, per_usd=1.0),
        "What the provider charges. The model's price must be known, or given before a run.",
    ),
    "Seconds": (
        CostModel(unit="seconds", per_completion_token=0.0, per_second=1.0),
        "How long each answer takes. It changes with the provider's load, so runs repeat less exactly.",
    ),
}
_FIELDS = {
    "per_prompt_token": "Per prompt token",
    "per_completion_token": "Per completion token",
    "per_usd": "Per dollar",
    "per_second": "Per second",
}


def edit(cost: dict[str, Any], key: str) -> dict[str, Any]:
    """Draw the choice; returns the cost model as a task file holds it."""
    now = _read(cost)
    named = next((name for name, (model, _) in PRESETS.items() if model == now), MIX)
    options = [*PRESETS, MIX]
    chosen = st.selectbox(
        "What a completion costs",
        options,
        index=options.index(named),
        key=f"{key}:preset",
        help="A context's cost weight says how much one unit of cost takes off the score.",
    )
    if chosen != MIX:
        model, meaning = PRESETS[chosen]
        st.caption(meaning)
        return model.model_dump(mode="json")
    unit = st.text_input("Unit", now.unit, key=f"{key}:unit", help="What one unit of cost is called on charts and cards.").strip()
    values = {}
    columns = st.columns(len(_FIELDS))
    for (name, label), column in zip(_FIELDS.items(), columns, strict=True):
        with column:
            values[name] = st.number_input(
                label, min_value=0.0, max_value=1e6, value=float(getattr(now, name)), format="%g", key=f"{key}:{name}",
                help=f"Cost, in the unit, of one {label.removeprefix('Per ')}.",
            )  # fmt: skip
    if not any(values.values()):
        st.caption("Nothing costs anything, so a context's cost weight changes nothing.")
    else:
        st.caption(in_words(CostModel(unit=unit or "units", **values)))
    return {"unit": unit or "units", **values}


def in_words(cost: CostModel) -> str:
    """Say what a completion costs: the parts that weigh something, in the unit."""
    parts = [f"{getattr(cost, name):g} {label.lower()}" for name, label in _FIELDS.items() if getattr(cost, name) > 0]
    return f"Counted in {words.escape(cost.unit)}: {', '.join(parts) or 'nothing costs anything'}."


def _read(cost: dict[str, Any]) -> CostModel:
    """Return the draft's cost model; the usual one where it cannot be used, which the task's own check says."""
    try:
        return CostModel.model_validate(cost)
    except ValueError:
        return CostModel()
