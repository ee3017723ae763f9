"""Format numbers, times and names for people. This module must not import Streamlit."""

import html
import math
import re
from datetime import date, datetime
from decimal import Decimal


def money(amount: Decimal | float) -> str:
    """Return `$987`, `$12.3k` or `$4.56M`; a minus comes before the dollar sign."""
    sign, size = "−" if amount < 0 else "", abs(Decimal(amount))
    for unit, least, digits in (("M", 1_000_000, 2), ("k", 1_000, 1)):
        if size >= least:
            return f"{sign}${size / least:,.{digits}f}{unit}"
    return f"{sign}${size:,.0f}"


def count(number: int) -> str:
    """Return the number with thousands separators: `12,345`."""
    return f"{number:,}"


def short(number: int | None) -> str:
    """Return `987`, `12.3k` or `4.56M`; `–` for None."""
    return "–" if number is None else money(number).replace("$", "")


def decimal(number: float | None, digits: int = 1) -> str:
    """Return `4.1`; `–` for None and NaN."""
    return "–" if number is None or math.isnan(number) else f"{number:,.{digits}f}"


def percent(change: float | None) -> str | None:
    """Return `+4.2%` or `-4.2%`; None stays None. Streamlit recognises a falling metric only by an ASCII minus."""
    return None if change is None else f"{change:+,.1%}"


def size(count: int) -> str:
    """Return a number of bytes as `17 B`, `21 kB` or `3.4 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def day(value: date) -> str:
    """Return `3 March 2013`."""
    return f"{value.day} {value:%B %Y}"


def days(first: date, last: date) -> str:
    """Return `3 March 2013 – 1 April 2013`."""
    return f"{day(first)} – {day(last)}"


def moment(value: datetime, zone: str = "UTC") -> str:
    """Return `3 March 2013, 14:05 UTC`."""
    return f"{day(value)}, {value:%H:%M} {zone}"


def clock(value: datetime) -> str:
    """Return `14:05 UTC`."""
    return f"{value:%H:%M} UTC"


def markdown(text: str) -> str:
    """Escape text for Streamlit's Markdown: it shows no link, emphasis, formula, icon or HTML."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:<>&^=\"'])", r"\\\1", " ".join(text.split()))


def commands(text: str) -> str:
    """Escape text for Streamlit's Markdown, except commands between backticks, which it shows as code."""
    parts = text.split("`")
    return "".join(f"`{part}`" if place % 2 else markdown(f"|{part}|")[2:-2] for place, part in enumerate(parts))


def markup(text: object) -> str:
    """Escape text for HTML."""
    return html.escape(str(text), quote=True)


def breakable(name: object) -> str:
    """Escape text for HTML, and allow line breaks after dots and underscores."""
    return re.sub(r"([._])", r"\1<wbr>", markup(name))


def hover_format(measure: str) -> str:
    """Return the number format of a chart's tooltip, with all significant digits."""
    return "$,.2f" if measure == "revenue" else ",d"
