"""Numbers, moments and names as people read them. This file must not know Streamlit."""

import html
import math
import re
from datetime import date, datetime
from decimal import Decimal


def money(amount: Decimal | float) -> str:
    """`$987`, `$12.3k`, `$4.56M`; a minus stands first."""
    sign, size = "−" if amount < 0 else "", abs(Decimal(amount))
    for unit, least, digits in (("M", 1_000_000, 2), ("k", 1_000, 1)):
        if size >= least:
            return f"{sign}${size / least:,.{digits}f}{unit}"
    return f"{sign}${size:,.0f}"


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def short(number: int | None) -> str:
    """`987`, `12.3k`, `4.56M`; `–` for none."""
    return "–" if number is None else money(number).replace("$", "")


def decimal(number: float | None, digits: int = 1) -> str:
    """`4.1`; `–` for none."""
    return "–" if number is None or math.isnan(number) else f"{number:,.{digits}f}"


def percent(change: float | None) -> str | None:
    """`+4.2%`, `-4.2%`; None stays None. With a plain minus: by that alone Streamlit sees that a figure falls."""
    return None if change is None else f"{change:+,.1%}"


def size(count: int) -> str:
    """Bytes: `17 B`, `21 kB`, `3.4 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def day(value: date) -> str:
    """`3 March 2013`."""
    return f"{value.day} {value:%B %Y}"


def moment(value: datetime) -> str:
    """`3 March 2013, 14:05 UTC`."""
    return f"{day(value)}, {value:%H:%M} UTC"


def markdown(text: str) -> str:
    """The text itself, where Streamlit reads Markdown: no link, emphasis, formula, icon or HTML comes of it."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:<>&^=\"'])", r"\\\1", " ".join(text.split()))


def markup(text: object) -> str:
    """The text itself, within HTML."""
    return html.escape(str(text), quote=True)


def hover_format(measure: str) -> str:
    """For a chart's hover: every digit that counts."""
    return "$,.2f" if measure == "revenue" else ",d"
