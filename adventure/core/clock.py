"""This machine's clock."""

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """This machine's clock as naive UTC. For records of when something ran, never for a watermark."""
    return datetime.now(UTC).replace(tzinfo=None)


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return the moment less a span, and the calendar's first moment where that lies before it."""
    return moment - by if moment - datetime.min >= by else datetime.min


def later(moment: datetime, by: timedelta) -> datetime:
    """Return the moment plus a span, and the calendar's last moment where that lies after it."""
    return moment + by if datetime.max - moment >= by else datetime.max
