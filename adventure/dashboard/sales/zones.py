"""Days of a time zone, over sales that are kept by hours in UTC. No Streamlit here.

Local times are naive; in the hour that occurs twice, their attribute `fold` tells which one is meant.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_HOUR = timedelta(hours=1)


def to_utc(local: datetime, zone: str) -> datetime:
    """Return the moment in naive UTC."""
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)


def to_local(moment: datetime, zone: str) -> datetime:
    """Return a moment in naive UTC as local time."""
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def day_start(day: date, zone: str) -> datetime:
    """Return when the day begins in the time zone, in naive UTC."""
    return to_utc(datetime(day.year, day.month, day.day), zone)


@lru_cache(maxsize=256)
def offsets(zone: str, first: date, last: date) -> tuple[tuple[datetime, timedelta], ...]:
    """Return from when on, in naive UTC, which offset from UTC applies on these days.

    Clocks change at most once a day.
    """
    known, found = ZoneInfo(zone), [(day_start(first, zone), _offset(day_start(first, zone), ZoneInfo(zone)))]
    for number in range((last - first).days + 1):
        start, end = (day_start(first + timedelta(days=number + more), zone) for more in (0, 1))
        if _offset(end, known) != found[-1][1]:
            while _offset(start, known) == found[-1][1]:
                start += timedelta(minutes=15)
            found.append((start, _offset(start, known)))
    return tuple(found)


def has_whole_hours(zone: str, first: date, last: date) -> bool:
    """Return whether each of these days begins at a full hour in UTC. Else hours cannot be added up to days."""
    return all(not offset % _HOUR for _, offset in offsets(zone, first, last))


def local_sql(column: str, zone: str, first: date, last: date) -> str:
    """Return SQL for a column's local time on these days; the column has times in UTC.

    It holds no value of the user's, and both warehouses know it.
    """
    found = offsets(zone, first, last)
    if not any(offset for _, offset in found):
        return column
    shifted = [_shifted(column, offset) for _, offset in found]
    cases = "".join(
        f" when {column} < timestamp '{until:%Y-%m-%d %H:%M:%S}' then {sql}"
        for sql, (until, _) in zip(shifted, found[1:], strict=False)
    )
    return f"case{cases} else {shifted[-1]} end" if cases else shifted[-1]


def exists(local: datetime, zone: str) -> bool:
    """Return whether clocks show this time. They leave out an hour when they are set forward."""
    return to_local(to_utc(local, zone), zone).replace(fold=0) == local.replace(fold=0)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.replace(tzinfo=UTC).astimezone(zone).utcoffset() or timedelta()


def _shifted(column: str, offset: timedelta) -> str:
    minutes = int(abs(offset).total_seconds()) // 60
    return f"{column} {'-' if offset < timedelta() else '+'} interval '{minutes} minutes'" if minutes else column
