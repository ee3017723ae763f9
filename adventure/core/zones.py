"""Convert timestamps without a time zone, by the IANA name of their zone."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adventure.core.clock import earlier
from adventure.core.errors import ConfigError

_UTC_NAMES = frozenset(
    name.lower()
    for name in (
        *("UTC", "UCT", "GMT", "GMT0", "GMT+0", "GMT-0", "Zulu", "Universal", "Greenwich"),
        *(f"Etc/{name}" for name in ("UTC", "UCT", "GMT", "GMT0", "GMT+0", "GMT-0", "Zulu", "Universal", "Greenwich")),
    )
)


def is_utc(name: str) -> bool:
    """Return whether `name` is one of the names of UTC."""
    return name.lower() in _UTC_NAMES


def check_zone(name: str) -> None:
    """Raise ConfigError unless `name` is a time zone of this machine's database."""
    if is_utc(name):
        return
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"{name!r} is not an IANA time zone that this machine knows",
            "Write it as in America/New_York; a machine without time zones needs the package tzdata",
        ) from error


def to_utc(local: datetime, name: str) -> datetime:
    """Return the naive UTC timestamp of a zone's naive local one; the earlier of two where the hour comes twice."""
    return local if is_utc(name) else _moved(local.replace(tzinfo=ZoneInfo(name)), UTC)


def to_local(moment: datetime, name: str) -> datetime:
    """Return the naive local timestamp of a zone at a naive UTC one."""
    return moment if is_utc(name) else _moved(moment.replace(tzinfo=UTC), ZoneInfo(name))


def looking_back(local: datetime, duration: timedelta, name: str) -> timedelta:
    """Return how far below a naive local time the zone's clock may have been for that long before it.

    It is an hour more shortly after the clock skipped one, and never less than `duration`.
    """
    if not duration or is_utc(name):
        return duration
    before = to_local(earlier(to_utc(local, name), duration), name)
    return max(duration, local - before)


def parse_moment(text: str, zone: str) -> datetime:
    """Return an ISO 8601 timestamp as the naive time of `zone`. Text without an offset is read as local to `zone`.

    Raises:
        ConfigError: the text is not a timestamp.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a timestamp", "Write it as 2026-01-31T12:00:00") from error
    return to_local(_moved(moment, UTC), zone) if moment.tzinfo else moment


def _moved(moment: datetime, zone: tzinfo) -> datetime:
    """Return the naive time in a zone, limited to the first and last value that `datetime` can hold."""
    try:
        return moment.astimezone(zone).replace(tzinfo=None)
    except OverflowError:
        return datetime.min if moment.year == datetime.min.year else datetime.max
