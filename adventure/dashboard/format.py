"""Numbers and ages as people read them."""

from datetime import datetime
from decimal import Decimal

from adventure.dashboard.figures import Measure


def money(amount: Decimal) -> str:
    """`$ 987`, `$ 12.3 k`, `$ 4.56 M`."""
    for unit, size, digits in (("M", 1_000_000, 2), ("k", 1_000, 1)):
        if abs(amount) >= size:
            return f"$ {amount / size:,.{digits}f} {unit}"
    return f"$ {amount:,.0f}"


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def percent(change: float | None) -> str | None:
    """`+4.2 %`; None stays None."""
    return None if change is None else f"{change:+.1%}".replace("%", " %")


def age(moment: datetime, now: datetime) -> str:
    """`just now`, `5 minutes`, `3 hours`, `2 days`."""
    seconds = (now - moment).total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''} old"
    return "just now"


def axis_format(measure: Measure) -> str:
    """For the chart's axis: short, with a dollar where it is money."""
    return "$~s" if measure == "revenue" else "~s"


def hover_format(measure: Measure) -> str:
    """For the chart's hover: every digit that counts."""
    return "$,.2f" if measure == "revenue" else ",d"
