"""Requests that change no control: those of another page than the one that is drawn, and a fragment's own refreshes.

A request that the browser sent while the page changed runs after the change. Streamlit has forgotten the values of the
page before, and calls the callbacks of its controls as if the user had changed them. The request has the URL of that
page, or half of the new one: removing a value would write it over the URL of the page that is open now.
"""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

PAGE = "drawn page"
CONTROL = "drawn on:"
"""Prefix for the page that a control was last drawn on, in the session."""
_REFRESHES = "refreshes"
"""In the session: the fragments that refresh by themselves."""


def note_page() -> None:
    """Note which page is drawn. Call it in each run of the whole app."""
    if context := get_script_run_ctx():
        st.session_state[PAGE] = context.page_script_hash


def note_control(name: str) -> None:
    """Note on which page the control is drawn."""
    if context := get_script_run_ctx():
        st.session_state[CONTROL + name] = context.page_script_hash


def note_refresh() -> None:
    """Note that the fragment that calls this refreshes by itself, so that its requests change no control."""
    if fragment := _fragment_id():
        st.session_state.setdefault(_REFRESHES, set()).add(fragment)


def is_late(control: str) -> bool:
    """Return whether the request is of another page than the drawn one or the control's, or only a refresh.

    The control's page differs when the user clicked it while the next page was already being drawn.
    """
    context = get_script_run_ctx()
    if context is None:
        return False
    fragments = set(context.fragment_ids_this_run or ())
    if fragments and fragments <= st.session_state.get(_REFRESHES, set()):
        return True
    page = context.page_script_hash
    return any(st.session_state.get(key, page) != page for key in (PAGE, CONTROL + control))


def _fragment_id() -> str | None:
    """Return the id of the fragment that is drawn. Streamlit has no public name for it, and moved it after 1.51."""
    context = get_script_run_ctx()
    if context is None:
        return None
    if hasattr(context, "current_fragment_id"):
        return str(context.current_fragment_id or "") or None
    from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState

    found: str | None = ThreadState.get().fragment_id
    return found
