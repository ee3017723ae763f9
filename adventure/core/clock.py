"""This machine's clock."""

from datetime import UTC, datetime

from adventure.core.errors import ConfigError


def utc_now() -> datetime:
    """This machine's clock as naive UTC. For records of when something ran, never for a watermark."""
    return datetime.now(UTC).replace(tzinfo=None)


def parse_utc(text: str) -> datetime:
    """Return an ISO 8601 timestamp as naive UTC; one without an offset is UTC.

    Raises:
        ConfigError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a timestamp", "Write it as 2026-01-31T12:00:00, in UTC") from error
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
