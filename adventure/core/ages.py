"""Spans of time as text."""

import re
from datetime import timedelta

from adventure.core.errors import ConfigError


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


def parse_duration(text: str) -> float:
    """Return the seconds of `10s`, `5m`, `1h` or a plain number.

    Raises:
        ConfigError: the text is none of these, or not above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds <= 0:
        raise ConfigError(f"{text!r} is not a duration", "Write a number above zero with s, m or h: 10s, 5m, 1h")
    return seconds
