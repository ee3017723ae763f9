"""A table of texts as HTML. It shows messages whole: a data frame on the page cuts them. No Streamlit here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from adventure.dashboard.format import breakable, markup

_STYLE = """
<style>
.texts {max-height: 32rem; overflow: auto}
.texts table {border-collapse: collapse; width: 100%; font-size: 0.86rem; line-height: 1.4}
.texts :is(th, td) {text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0}
.texts th {font-weight: 600}
.texts .number {text-align: right; white-space: nowrap}
.texts tbody {border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent)}
.texts .below td {padding: 0 0 0.4rem 1rem; overflow-wrap: anywhere}
.texts .name {font-weight: 600}
</style>
"""


def text_table(
    frame: pd.DataFrame,
    headers: Mapping[str, str],
    label: str,
    below: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> str:
    """Return the frame as a table.

    Args:
        headers: the header of each column, by name.
        label: what the table holds, for screen readers.
        below: the last columns, which hold long texts. They are below the others, over the whole width.
        numbers: columns of formatted numbers, to be aligned as numbers are.
    """
    beside = [name for name in frame.columns if name not in below]
    classes = {name: _class(frame[name], is_number=name in numbers) for name in beside}
    head = "".join(f'<th scope="col"{classes[name]}>{markup(headers[name])}</th>' for name in beside)
    bodies = "".join(_body(record, headers, classes, below) for record in frame.to_dict("records"))
    return (
        f'{_STYLE}<div class="texts" tabindex="0" role="region" aria-label="{markup(label)}">'
        f"<table><thead><tr>{head}</tr></thead>{bodies}</table></div>"
    )


def formatted(frame: pd.DataFrame, columns: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Return the frame with numbers as texts, the headers, and the names of the number columns.

    A missing value is a dash.

    Args:
        columns: Streamlit's configuration of the columns, by name.
    """
    shown: dict[str, list[str]] = {}
    headers, numbers = {}, []
    for name in map(str, frame.columns):
        config = columns.get(name) or {}
        form = (config.get("type_config") or {}).get("format")
        headers[name] = str(config.get("label") or name.capitalize())
        if form:
            numbers.append(name)
        shown[name] = ["–" if pd.isna(value) else _number(value, form) if form else str(value) for value in frame[name]]
    return pd.DataFrame(shown), headers, numbers


def _number(value: Any, form: str) -> str:
    """Return the number in one of Streamlit's formats: `dollar`, `localized`, or that of printf."""
    if form == "dollar":
        return f"−${-value:,.0f}" if value < 0 else f"${value:,.0f}"
    return f"{value:,.0f}" if form == "localized" else form % value


def _body(
    record: Mapping[Any, Any], headers: Mapping[str, str], classes: Mapping[str, str], below: Sequence[str]
) -> str:
    cells = "".join(
        f'<td{made} data-column="{markup(name)}">{breakable(_shown(record[name]))}</td>'
        for name, made in classes.items()
    )
    texts = "".join(_text(name, headers[name], _shown(record[name]), alone=len(below) == 1) for name in below)
    rest = f'<tr class="below"><td colspan="{len(classes)}">{texts}</td></tr>' if texts else ""
    return f"<tbody><tr>{cells}</tr>{rest}</tbody>"


def _text(name: str, header: str, text: str, *, alone: bool) -> str:
    if not text:
        return ""
    title = "" if alone else f'<span class="name">{markup(header)}</span> '
    return f'<div>{title}<span data-column="{markup(name)}">{breakable(text)}</span></div>'


def _class(values: "pd.Series[Any]", *, is_number: bool) -> str:
    return ' class="number"' if is_number or pd.api.types.is_numeric_dtype(values) else ""


def _shown(value: Any) -> str:
    if value is None or value is pd.NaT or value != value:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return value if isinstance(value, str) else f"{value:,}"
