"""The draft that this tab edits: one object in the session, a file in the data folder, named by the URL.

Sections change the draft in place; `store` writes it down where it changed: after each change, and at the end of the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.runs import drafts
from iapo_core.runs.drafts import Draft
from pages.shell import session

DRAFT, ID, QUERY = "draft", "draft-id", "draft"
_WRITTEN = "draft-written"
_SAID = "draft-said"


def current() -> Draft | None:
    """Return the draft that the URL names; None where it names none. One that is not here gets a sentence."""
    asked = st.query_params.get(QUERY)
    if not asked:
        return None
    if st.session_state.get(ID) != asked or DRAFT not in st.session_state:
        try:
            draft = drafts.load(asked)
        except IapoError as error:
            del st.query_params[QUERY]
            session.explain(error, "The address names a draft that is not here.")
            return None
        _hold(asked, draft)
    found: Draft = st.session_state[DRAFT]
    return found


def begin(draft: Draft) -> None:
    """Keep a new draft and open it."""
    draft_id = drafts.keep(draft)
    _hold(draft_id, draft)
    st.query_params[QUERY] = draft_id


def store() -> None:
    """Write the draft down if it changed; where another tab changed it meanwhile, as a draft of its own, so that both are kept."""
    draft, draft_id = st.session_state.get(DRAFT), st.session_state.get(ID)
    if draft is None or draft_id is None:
        return
    mark, written = _mark(draft), st.session_state[_WRITTEN]
    if written == [mark]:
        return
    if written != [_mark_on_disk(draft_id)]:
        draft_id = None
    # Streamlit may end a script at any use of it: nothing of it stands between writing and noting so.
    draft_id = drafts.keep(draft, draft_id)
    written[:] = [mark]
    if st.session_state[ID] != draft_id:
        st.session_state[ID] = st.query_params[QUERY] = draft_id
        say("Another tab has changed this draft, too. Yours is now a draft of its own.")


def leave(*, is_discarded: bool = False) -> None:
    """Close the draft; it can be opened again unless it is discarded."""
    store()
    if is_discarded and st.session_state.get(ID):
        drafts.discard(st.session_state[ID])
    for key in (DRAFT, ID, _WRITTEN):
        st.session_state.pop(key, None)
    if QUERY in st.query_params:
        del st.query_params[QUERY]


def say(text: str) -> None:
    """Have a sentence shown the next time the page is drawn."""
    st.session_state[_SAID] = text


def said() -> str | None:
    """Return the sentence to show, once."""
    text: str | None = st.session_state.pop(_SAID, None)
    return text


def bound(widget: Callable[..., Any], label: str, value: Any, write: Callable[[Any], None], *, key: str, **options: Any) -> Any:
    """Draw a widget that shows what the draft holds, and writes what is typed into it before the page runs again."""
    if st.session_state.get(key) != value or key not in st.session_state:
        st.session_state[key] = value

    def changed() -> None:
        write(st.session_state[key])
        store()

    return widget(label, key=key, on_change=changed, **options)


def _hold(draft_id: str, draft: Draft) -> None:
    st.session_state[DRAFT], st.session_state[ID], st.session_state[_WRITTEN] = draft, draft_id, [_mark(draft)]


def _mark(draft: Draft) -> int:
    return hash(json.dumps(draft))


def _mark_on_disk(draft_id: str) -> int | None:
    try:
        return _mark(drafts.load(draft_id))
    except IapoError:
        return None  # it was saved or discarded elsewhere
