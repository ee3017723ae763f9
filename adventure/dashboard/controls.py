"""Controls whose state is in the URL, so that a view can be shared; what the URL says wrongly is the default."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

_SAVED = "saved:"
"""Before a control's name, what was chosen last: Streamlit forgets the controls of a page that is left."""


def choice(
    place: Any, label: str, name: str, options: Mapping[Any, str], default: str | None = None, *, hidden: bool = False
) -> str:
    """One of the options, by key.

    Args:
        hidden: the label is for screen readers alone.
    """
    keys = list(options)
    first = default or keys[0]
    chosen = st.session_state.get(name)
    if chosen not in keys:
        requested = st.query_params.get(name, st.session_state.get(_SAVED + name))
        chosen = requested if requested in keys else first
    # Also what is chosen already: a control whose options have changed is a new one, with nothing chosen.
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
    """Any of the options; none stands for all."""
    if name not in st.session_state:
        requested = st.query_params.get_all(name) or st.session_state.get(_SAVED + name, [])
        st.session_state[name] = [value for value in requested if value in options]
    st.session_state[name] = [value for value in st.session_state[name] if value in options]
    place.multiselect(label, options, key=name, placeholder=placeholder)
    chosen = list(st.session_state[name])
    _save(name, chosen)
    return tuple(chosen)


def date_range(place: Any, label: str, first: date, last: date, earliest: date, latest: date) -> tuple[date, date]:
    """A range of days, both included, from `first` and `last` unless the URL says otherwise."""
    if "days" not in st.session_state:
        requested = [_date(st.query_params.get(name, "")) for name in ("from", "to")]
        whole = [day for day in requested if day is not None]
        start, end = whole if len(whole) == 2 else st.session_state.get(_SAVED + "days", (first, last))
        start, end = max(earliest, min(start, latest)), max(earliest, min(end, latest))
        st.session_state["days"] = (start, end) if start <= end else (first, last)
    chosen = place.date_input(label, min_value=earliest, max_value=latest, key="days", format="YYYY-MM-DD")
    if len(chosen) == 2:
        st.session_state[_SAVED + "days"] = chosen
    # While only the first day of a new range is chosen, the last whole range stays.
    start, end = st.session_state.get(_SAVED + "days", (first, last))
    set_param("from", start.isoformat())
    set_param("to", end.isoformat())
    return start, end


def set_param(name: str, value: str | list[str]) -> None:
    """Keeps a value in the URL."""
    if st.query_params.get_all(name) != ([value] if isinstance(value, str) else value):
        st.query_params[name] = value


def remove_params(*names: str) -> None:
    """Takes values out of the URL."""
    for name in names:
        if name in st.query_params:
            del st.query_params[name]


def reset(*names: str) -> None:
    """Sets controls back to their defaults; for a button's callback."""
    for name in names:
        st.session_state.pop(name, None)
        st.session_state.pop(_SAVED + name, None)
    remove_params(*names)


def _save(name: str, value: str | list[str]) -> None:
    st.session_state[_SAVED + name] = value
    set_param(name, value)


def _keep_selection(name: str, first: str) -> None:
    """A second click on what is chosen would leave nothing chosen."""
    if st.session_state[name] is None:
        st.session_state[name] = st.session_state.get(_SAVED + name, first)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
