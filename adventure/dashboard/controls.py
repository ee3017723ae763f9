"""Controls that keep their state in the URL, so that a view can be shared.

A value that a control does not understand stays in the URL until the user changes the control, and `explain` says what
is shown in its place.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import streamlit as st

from adventure.dashboard import format, late

_SAVED = "saved:"
"""Prefix for a control's last value in the session: Streamlit drops the controls of a page when the user leaves it."""
_MISREAD = "misread:"
"""Prefix for the sentence on a URL value that a control does not understand."""
_RANGE = ("from", "to")


def choice(
    place: Any,
    label: str,
    name: str,
    options: Mapping[Any, str],
    default: str | None = None,
    *,
    hidden: bool = False,
    overrides: Sequence[str] = (),
) -> str:
    """Show a segmented control and return the key of the chosen option.

    Args:
        hidden: show the label to screen readers only.
        overrides: other values in the URL that a click on this control removes.
    """
    late.note_control(name)
    keys = list(options)
    first = default or keys[0]
    requested = _requested(name)
    unknown = [value for value in requested if value not in keys]
    chosen = st.session_state.get(name)
    if chosen not in keys:
        wanted = [*requested, *_saved(name)]
        chosen = next((value for value in wanted if value in keys), first)
    # Set the chosen value again: Streamlit treats a control with changed options as a new one, with nothing chosen.
    st.session_state[name] = chosen
    place.segmented_control(
        label,
        keys,
        format_func=lambda key: options[key],
        key=name,
        on_change=take_over,
        args=(name, first, *overrides),
        label_visibility="collapsed" if hidden else "visible",
    )
    known = ", ".join(map(str, keys))
    _save(
        name,
        str(chosen),
        f"This link asks for {name} {_quoted(unknown)}, but {name} can only be {known}. Shown: {options[chosen]}."
        if unknown
        else None,
    )
    return str(chosen)


def multi_choice(place: Any, label: str, name: str, options: Sequence[str], placeholder: str) -> tuple[str, ...]:
    """Show a multiple choice and return the chosen options; an empty choice means all."""
    late.note_control(name)
    requested = _requested(name)
    unknown = [value for value in requested if value not in options]
    if name not in st.session_state:
        st.session_state[name] = [value for value in requested or _saved(name) if value in options]
    st.session_state[name] = [value for value in st.session_state[name] if value in options]
    place.multiselect(label, options, key=name, placeholder=placeholder, on_change=_replace, args=(name,))
    chosen = list(st.session_state[name])
    shown = ", ".join(map(_text, chosen)) or placeholder.lower()
    _save(
        name,
        chosen,
        f"This link asks for {name} {_quoted(unknown)}, which has no sales. Shown: {shown}." if unknown else None,
    )
    return tuple(chosen)


def text(label: str, name: str) -> str:
    """Show a text field and return its text. The URL has the text."""
    late.note_control(name)
    if name not in st.session_state:
        st.session_state[name] = next(iter([*_requested(name), *_saved(name)]), "")
    found = str(st.text_input(label, key=name, max_chars=100, on_change=_replace, args=(name,)))
    st.session_state[_SAVED + name] = found
    if found:
        set_param(name, found)
    else:
        remove_params(name)
    return found


def date_range(place: Any, label: str, first: date, last: date, earliest: date, latest: date) -> tuple[date, date]:
    """Show a date range and return its first and last day. The URL overrides the defaults `first` and `last`."""
    late.note_control("days")
    asked, problem = _requested_range(earliest, latest)
    if "days" not in st.session_state:
        start, end = asked or st.session_state.get(_SAVED + "days", (first, last))
        st.session_state["days"] = (max(earliest, min(start, latest)), max(earliest, min(end, latest)))
    chosen = place.date_input(
        label,
        min_value=earliest,
        max_value=latest,
        key="days",
        format="YYYY-MM-DD",
        on_change=_replace_range,
    )
    if len(chosen) == 2:
        st.session_state[_SAVED + "days"] = chosen
    # Keep the previous range until the user has chosen both days of a new one.
    start, end = st.session_state.get(_SAVED + "days", (first, last))
    st.session_state[_MISREAD + "days"] = problem and f"{problem} Shown: {format.day(start)} to {format.day(end)}."
    if not problem:
        set_param("from", start.isoformat())
        set_param("to", end.isoformat())
    return start, end


def has_range() -> bool:
    """Return whether the URL has the first or the last day of a range."""
    return any(name in st.query_params for name in _RANGE)


def ignore_range(shown: str) -> None:
    """Drop the range of the session from the URL. Explain one that came with a link, and keep it.

    Args:
        shown: the period that is shown.
    """
    problem = None
    if has_range() and not _is_own_range():
        problem = f"This link has the days from and to, which need period custom. Shown: {shown}."
    else:
        remove_params(*_RANGE)
    st.session_state[_MISREAD + "days"] = problem


def explain(*names: str) -> None:
    """Say which values of the link the controls did not understand, and what they show."""
    sentences = [st.session_state.get(_MISREAD + name) for name in names]
    found = [sentence for sentence in sentences if sentence]
    if found:
        st.warning("  \n".join(found), icon=":material/link_off:")


def explain_names(known: Iterable[str]) -> None:
    """Say which names in the link are misspelled. Other unknown names are none of ours."""
    names = list(known)
    for name in st.query_params:
        if name not in names and (near := difflib.get_close_matches(name.lower(), names, 1, 0.75)):
            st.warning(
                f"This link has {_quoted([name])}, which this page does not know. Did it mean {near[0]}?",
                icon=":material/link_off:",
            )


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
        for prefix in ("", _SAVED, _MISREAD):
            st.session_state.pop(prefix + name, None)
    remove_params(*names, *(_RANGE if "days" in names else ()))


def reset_all() -> None:
    """Reset all controls and the URL, before another view is opened."""
    for name in [str(key) for key in st.session_state]:
        del st.session_state[name]
    st.query_params.clear()


def requested_number(name: str, largest: int) -> int:
    """Return the URL's number from 1 to `largest`; 1 without one. `explain` says what is not such a number."""
    text = st.query_params.get(name, "1")
    is_known = text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= largest
    st.session_state[_MISREAD + name] = (
        None if is_known else f"This link asks for {name} {_quoted([text])}, but there are {largest:,}. Shown: 1."
    )
    return int(text) if is_known else 1


def pick(name: str, value: str | list[str]) -> None:
    """Set a control: a list for a multiple choice, else a text. Made for a callback of another element."""
    st.session_state[name] = value
    remove_params(name)


def _requested(name: str) -> list[str]:
    """Return the URL's values, unless this session wrote them."""
    values = st.query_params.get_all(name)
    return [] if values == _saved(name) else values


def _saved(name: str) -> list[str]:
    value = st.session_state.get(_SAVED + name, [])
    return [value] if isinstance(value, str) else list(value)


def _save(name: str, value: str | list[str], problem: str | None) -> None:
    """Keep the value in the session, and in the URL unless the URL has one that must be explained."""
    st.session_state[_SAVED + name] = value
    st.session_state[_MISREAD + name] = problem
    if not problem:
        set_param(name, value)


def take_over(name: str, first: str, *overrides: str) -> None:
    """Let the user's choice replace the URL's value. A second click on the chosen option clears it: choose it again."""
    if late.is_late(name):
        return
    if st.session_state[name] is None:
        st.session_state[name] = st.session_state.get(_SAVED + name, first)
    _drop_requested(name)
    remove_params(*overrides)


def _replace(name: str) -> None:
    """Let the user's choice replace the URL's value."""
    if not late.is_late(name):
        _drop_requested(name)


def _replace_range() -> None:
    """Remove the range from the URL, because the user has changed it."""
    if not late.is_late("days"):
        remove_params(*_RANGE)


def _drop_requested(name: str) -> None:
    """Remove the value from the URL, unless this session wrote it: then the control writes the new one over it.

    Each change of the URL makes the browser draw the whole page again.
    """
    if _requested(name):
        remove_params(name)


def _is_own_range() -> bool:
    days = [day.isoformat() for day in st.session_state.get(_SAVED + "days", ())]
    return [st.query_params.get(name) for name in _RANGE] == days


def _requested_range(earliest: date, latest: date) -> tuple[tuple[date, date] | None, str | None]:
    """Return the URL's range as far as there are sales, and a sentence on what is wrong with it."""
    texts = [st.query_params.get(name) for name in _RANGE]
    if not any(texts) or _is_own_range():
        return None, None
    for name, text in zip(_RANGE, texts, strict=True):
        if text is None:
            return None, f"This link has no day {name}."
        if _date(text) is None:
            return None, f"This link has {_quoted([text])} as the day {name}, which is no date such as 2026-03-31."
    start, end = (date.fromisoformat(text) for text in texts if text)
    if start > end:
        return None, f"This link asks for {format.day(start)} to {format.day(end)}, which ends before it begins."
    if end < earliest or start > latest:
        return None, f"This link asks for {format.day(start)} to {format.day(end)}, when there are no sales."
    if start < earliest or end > latest:
        within = max(earliest, start), min(latest, end)
        return within, f"This link asks for {format.day(start)} to {format.day(end)}, not all of which can be shown."
    return (start, end), None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _quoted(values: Sequence[str]) -> str:
    return ", ".join(f"“{_text(value)}”" for value in values)


def _text(value: str) -> str:
    """Return a value of unknown origin as short text."""
    return format.markdown(value if len(value) <= 60 else f"{value[:59]}…")
