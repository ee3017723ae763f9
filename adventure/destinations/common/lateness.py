"""How far below their window's low rows landed. A stream's lookback has to be longer than that."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from adventure.core.streams import Stream
from adventure.destinations.common.dialect import Dialect, loaded_columns_of
from adventure.destinations.warehouse import Execute

LATENESS = {
    "up to 1 s": timedelta(seconds=1),
    "up to 10 s": timedelta(seconds=10),
    "up to 1 min": timedelta(minutes=1),
    "up to 10 min": timedelta(minutes=10),
    "up to 1 h": timedelta(hours=1),
    "up to 1 day": timedelta(days=1),
    "longer": timedelta.max,
}
"""The classes of the lateness histogram, each with its upper bound."""


def lateness_bounds() -> list[int]:
    """Return the upper bounds of the classes in microseconds; the last class has none."""
    return [bound // timedelta(microseconds=1) for bound in list(LATENESS.values())[:-1]]


def lateness(
    execute: Execute,
    dialect: Dialect,
    stream: Stream,
    kinds: Sequence[str],
    bounds: Sequence[int],
    *,
    since: datetime = datetime.min,
) -> dict[int, int]:
    """Return the number of late rows by class of lateness; empty where there is no raw table.

    A version that one window brought in time is not late, even if a later window read it again for its lookback.

    Args:
        kinds: how each key column becomes text.
        bounds: upper bounds of the classes in microseconds. The class after the last bound holds the rest.
        since: count the rows loaded from then on, in naive UTC.
    """
    types = loaded_columns_of(execute, stream)
    if not types:
        return {}
    number = " + ".join(f"case when lateness > {bound} then 1 else 0 end" for bound in bounds)
    found = execute(
        f"""
        with windows as (
            -- The cursor below which a row of the file is late. No row of a first window or of a repair is late.
            select
                stage || '/' || window_id || '/' || file as _file,
                case when mode <> 'repair' then {dialect.micros("low")} end as low_mark
            from raw_ext.load_history
            where stream = ? and kind = 'data' and loaded_at >= cast(? as timestamp)
        ),
        landed as (
            select {dialect.key(stream, kinds, types)} as row_key, {dialect.cursor(stream)} as row_cursor,
                windows.low_mark
            from {dialect.raw_table(stream)} as raw_rows
            inner join windows on windows._file = raw_rows._file
            where raw_rows._loaded_at >= cast(? as timestamp)
        ),
        versions as (
            select row_key, row_cursor, min(low_mark) - row_cursor as lateness
            from landed
            where row_key in (select row_key from landed where row_cursor < low_mark)
            group by row_key, row_cursor
            having min(case when row_cursor < low_mark then 1 else 0 end) = 1
        )
        select {number} as bound, count(*) from versions group by 1
        """,
        [stream.name, str(since), str(since)],
    )
    return {int(number): int(rows) for number, rows in found}
