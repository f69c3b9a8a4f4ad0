"""A form for what a scorer takes, drawn from the scorer's own description."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from iapo_core.scorers.parameters import Parameter
from pages.shell import words

_LARGEST = 1e15  # what a browser's numbers hold exactly


def form(parameters: tuple[Parameter, ...], params: dict[str, Any], key: str) -> dict[str, Any]:
    """Draw a field per parameter, two columns of them; returns the params that differ from their defaults.

    Args:
        parameters: What the scorer takes.
        params: What the objective has; a value that does not fit its parameter is replaced by the default.
        key: Unique on the page, and another one for another objective.
    """
    chosen: dict[str, Any] = {}
    short = [one for one in parameters if one.kind not in ("prose", "texts", "json")]
    columns = st.columns(2) if len(short) > 1 else [st.container()]
    places = {one.name: columns[i % len(columns)] for i, one in enumerate(short)}
    for one in parameters:
        given = params.get(one.name)
        fits = one.name in params and one.accepts(given) and not (isinstance(given, int | float) and abs(given) > _LARGEST)
        value = given if fits else one.default
        with places.get(one.name, st.container()):
            found = _field(one, value, f"{key}:{one.name}")
        if found is not None and (one.is_required or found != _plain(one.default)):
            chosen[one.name] = found
    return chosen


def _field(one: Parameter, value: Any, key: str) -> Any:
    """Draw one field; None where it holds no value."""
    label = one.name.replace("usd", "dollars").replace("_", " ").capitalize()
    note = words.escape(one.help) or None
    if one.kind == "switch":
        return st.toggle(label, bool(value), key=key, help=note)
    if one.kind == "integer":
        number = st.number_input(label, value=None if value is None else int(value), step=1, key=key, help=note)
        return None if number is None else int(number)
    if one.kind == "number":
        number = st.number_input(label, value=None if value is None else float(value), format="%g", key=key, help=note)
        return None if number is None else float(number)
    if one.kind == "choice":
        options = list(one.options)
        return st.selectbox(label, options, index=options.index(value) if value in options else None, key=key, help=note)
    if one.kind == "texts":
        lines = st.text_area(f"{label}, one a line", "\n".join(value or ()), key=key, help=note)
        return [line.strip() for line in lines.splitlines() if line.strip()]
    if one.kind == "json":
        return _json(label, value, key, note)
    draw = st.text_area if one.kind == "prose" else st.text_input
    return draw(label, value or "", key=key, help=note).strip() or None


def _json(label: str, value: Any, key: str, note: str | None) -> Any:
    shown = "" if value is None else json.dumps(value, indent=1, ensure_ascii=False)
    text = st.text_area(f"{label}, as JSON", shown, key=key, help=note).strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        st.error("This is not JSON yet, so it is not used.", icon=":material/error:")
        st.text(str(error))
        return None


def _plain(default: Any) -> Any:
    """Return a default as a task file holds it."""
    return list(default) if isinstance(default, tuple) else default
