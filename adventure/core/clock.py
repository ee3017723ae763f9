"""This machine's clock."""

from datetime import UTC, datetime

from adventure.core.errors import ConfigError
from adventure.core.zones import to_local


def utc_now() -> datetime:
    """This machine's clock as naive UTC. For records of when something ran, never for a watermark."""
    return datetime.now(UTC).replace(tzinfo=None)


def parse_moment(text: str, zone: str) -> datetime:
    """Return an ISO 8601 timestamp as the naive time of `zone`; one without an offset is of that zone.

    Raises:
        ConfigError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a timestamp", "Write it as 2026-01-31T12:00:00") from error
    return to_local(moment.astimezone(UTC).replace(tzinfo=None), zone) if moment.tzinfo else moment
