"""This machine's clock."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """This machine's clock as naive UTC. For records of when something ran, never for a watermark."""
    return datetime.now(UTC).replace(tzinfo=None)
