"""Controls that keep their state in the URL, so that a view can be shared. An invalid URL value means the default."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

_SAVED = "saved:"
"""Prefix for a control's last value in the session: Streamlit drops the controls of a page when the user leaves it."""


def choice(
    place: Any, label: str, name: str, options: Mapping[Any, str], default: str | None = None, *, hidden: bool = False
) -> str:
    """Show a segmented control and return the key of the chosen option.

    Args:
        hidden: show the label to screen readers only.
    """
    keys = list(options)
    first = default or keys[0]
    chosen = st.session_state.get(name)
    if chosen not in keys:
        requested = st.query_params.get(name, st.session_state.get(_SAVED + name))
        chosen = requested if requested in keys else first
    # Set the chosen value again: Streamlit treats a control with changed options as a new one, with nothing chosen.
    st.session_state[name] = chosen
    place.segmented_control(
        label,
        keys,
        format_func=lambda key: options[key],
        key=name,
        on_change=_keep_selection,
        args=(name, first),
        label_visibility="collapsed" if hidden else "visible",
    )
    _save(name, str(chosen))
    return str(chosen)


def multi_choice(place: Any, label: str, name: str, options: Sequence[str], placeholder: str) -> tuple[str, ...]:
    """Show a multiple choice and return the chosen options; an empty choice means all."""
    if name not in st.session_state:
        requested = st.query_params.get_all(name) or st.session_state.get(_SAVED + name, [])
        st.session_state[name] = [value for value in requested if value in options]
    st.session_state[name] = [value for value in st.session_state[name] if value in options]
    place.multiselect(label, options, key=name, placeholder=placeholder)
    chosen = list(st.session_state[name])
    _save(name, chosen)
    return tuple(chosen)


def date_range(place: Any, label: str, first: date, last: date, earliest: date, latest: date) -> tuple[date, date]:
    """Show a date range and return its first and last day. The URL overrides the defaults `first` and `last`."""
    if "days" not in st.session_state:
        requested = [_date(st.query_params.get(name, "")) for name in ("from", "to")]
        whole = [day for day in requested if day is not None]
        start, end = whole if len(whole) == 2 else st.session_state.get(_SAVED + "days", (first, last))
        start, end = max(earliest, min(start, latest)), max(earliest, min(end, latest))
        st.session_state["days"] = (start, end) if start <= end else (first, last)
    chosen = place.date_input(label, min_value=earliest, max_value=latest, key="days", format="YYYY-MM-DD")
    if len(chosen) == 2:
        st.session_state[_SAVED + "days"] = chosen
    # Keep the previous range until the user has chosen both days of a new one.
    start, end = st.session_state.get(_SAVED + "days", (first, last))
    set_param("from", start.isoformat())
    set_param("to", end.isoformat())
    return start, end


def set_param(name: str, value: str | list[str]) -> None:
    """Write a value to the URL."""
    if st.query_params.get_all(name) != ([value] if isinstance(value, str) else value):
        st.query_params[name] = value


def remove_params(*names: str) -> None:
    """Remove values from the URL."""
    for name in names:
        if name in st.query_params:
            del st.query_params[name]


def reset(*names: str) -> None:
    """Reset controls to their defaults. Made for a button's callback."""
    for name in names:
        st.session_state.pop(name, None)
        st.session_state.pop(_SAVED + name, None)
    remove_params(*names)


def _save(name: str, value: str | list[str]) -> None:
    st.session_state[_SAVED + name] = value
    set_param(name, value)


def _keep_selection(name: str, first: str) -> None:
    """Restore the selection after a second click on the chosen option, which clears it."""
    if st.session_state[name] is None:
        st.session_state[name] = st.session_state.get(_SAVED + name, first)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
