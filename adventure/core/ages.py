"""Spans of time as text."""

from datetime import timedelta


def short_age(span: timedelta) -> str:
    """Return a span for tables and messages: `12 s`, `5 min`, `3 h`, `2 d`. A negative span is `0 s`."""
    seconds = max(0.0, span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def long_age(span: timedelta) -> str:
    """Return a span for sentences: `4 seconds`, `5 minutes`, `3 hours`, `2 days`. A negative span is `0 seconds`."""
    seconds = max(0.0, span.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    number = round(seconds)
    return f"{number} second{'' if number == 1 else 's'}"
