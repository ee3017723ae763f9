"""By how much rows landed below the watermark that their window began at: what sets a stream's lookback.

In SQL that every warehouse shares, but for the expressions that read a key and a moment.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from adventure.core.streams import Stream
from adventure.destinations.common.records import Query


def lateness(
    query: Query,
    stream: Stream,
    table: str,
    expressions: tuple[str, str],
    micros: Callable[[str], str],
    bounds: Sequence[int],
    *,
    since: datetime = datetime.min,
) -> dict[int, int]:
    """Late rows by the number of the first of `bounds` (microseconds) that holds their lateness; the last holds more.

    A version that some window brought in time is not late, though a later one read it again for its lookback.

    Args:
        table: the raw table's name as SQL.
        expressions: the key's text and the cursor in microseconds since 1970, over the raw table.
        micros: the same microseconds of a column that is a timestamp.
        since: only of what was loaded from then on.
    """
    key, cursor = expressions
    number = " + ".join(f"case when lateness > {bound} then 1 else 0 end" for bound in bounds)
    found = query(
        f"""
        with windows as (
            -- Below which cursor a row of the file is late: nothing is in a first window, or in a repair.
            select
                stage || '/' || window_id || '/' || file as _file,
                case when mode <> 'repair' then {micros("low")} end as low_mark
            from raw_ext.load_history
            where stream = ? and kind = 'data' and loaded_at >= cast(? as timestamp)
        ),
        landed as (
            select {key} as row_key, {cursor} as row_cursor, windows.low_mark
            from {table} as raw_rows
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
