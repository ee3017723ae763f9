"""By how much rows landed below the watermark that their window began at: what sets a stream's lookback."""

from collections.abc import Sequence
from datetime import datetime

import duckdb

from adventure.streams import Stream
from adventure.warehouse.duckdb.load import columns_of
from adventure.warehouse.duckdb.versions import expressions, raw_table


def lateness(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    kinds: Sequence[str],
    bounds: Sequence[int],
    *,
    since: datetime = datetime.min,
) -> dict[int, int]:
    """Late rows by the number of the first of `bounds` (microseconds) that holds their lateness; the last holds more.

    Args:
        since: only of what was loaded from then on.

    A version that some window brought in time is not late, though a later one read it again for its lookback.
    """
    if not columns_of(connection, stream):
        return {}
    key, cursor = expressions(stream, kinds)
    found = connection.execute(
        f"""
        with windows as (
            -- Below which cursor a row of the file is late: nothing is in a first window, or in a repair.
            select
                stage || '/' || window_id || '/' || file as _file,
                case when mode <> 'repair' then epoch_us(low) end as low
            from raw_ext.load_history
            where stream = $stream and kind = 'data' and loaded_at >= $since
        ),
        landed as (
            select {key} as key, {cursor} as cursor, windows.low
            from {raw_table(stream)} as raw_rows
            inner join windows on windows._file = raw_rows._file
            where raw_rows._loaded_at >= $since
        ),
        versions as (
            select key, cursor, min(low) - cursor as lateness
            from landed
            where key in (select key from landed where cursor < low)
            group by key, cursor
            having bool_and(coalesce(cursor < low, false))
        )
        select len(list_filter($bounds::bigint[], lambda bound: bound < lateness)) as number, count(*)
        from versions
        group by 1
        """,
        {"stream": stream.name, "bounds": list(bounds), "since": since},
    ).fetchall()
    return dict(found)
