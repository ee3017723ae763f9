"""Counts over the raw tables and the rejected rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from adventure.core.streams import Stream
from adventure.destinations.common.dialect import Dialect, loaded_columns_of
from adventure.destinations.common.executor import SqlExecutor
from adventure.destinations.common.lateness import lateness
from adventure.destinations.results import RejectedRow
from adventure.destinations.warehouse import Execute

# Rows without a key have the same text as key. Each of them counts.
_WITHOUT_KEY = "case when rejects.key is null or upper(rejects.key) like '%NULL%' then rejects.\"ROW\" end"


class SqlRawTables(SqlExecutor):
    """See `RawTables`."""

    dialect: ClassVar[Dialect]

    def live_key_count(self, stream: Stream) -> int:
        """Return the number of keys whose latest row in the raw table, as in the base models, is no tombstone."""
        if not loaded_columns_of(self.execute, stream):
            return 0
        rows = self.execute(f"select count(*) from ({self.dialect.latest(stream)}) as latest_rows")
        return int(rows[0][0])

    def outstanding_rejects(self, stream: Stream, since: datetime) -> int:
        """Return how many keys were rejected since then and have no row in the raw table that was loaded later."""
        return outstanding_rejects(self.execute, self.dialect, stream, since)

    def rejected_rows(self, stream: Stream) -> list[RejectedRow]:
        """Return the latest rejection of each row of the stream, newest first."""
        types = loaded_columns_of(self.execute, stream)
        raw_key, rejected_key = self.dialect.rejected_key(stream, types)
        # Only the rejected keys are looked up, so that the raw table is scanned but not grouped.
        later = f"""
            left join (
                select {raw_key} as key, max(_loaded_at) as loaded_at from {self.dialect.raw_table(stream)}
                where {raw_key} in (
                    select {rejected_key} from raw_ext.rejected_rows as rejects where rejects.stream = ?
                )
                group by 1
            ) as later on later.key = {rejected_key}
        """
        rows = self.execute(
            f"""
            select
                rejects.key, rejects.reason, rejects."ROW", rejects._file, rejects._loaded_at,
                {"coalesce(later.loaded_at > rejects._loaded_at, false)" if types else "false"} as has_returned
            from raw_ext.rejected_rows as rejects {later if types else ""}
            where rejects.stream = ?
            qualify row_number() over (
                partition by rejects.key, {_WITHOUT_KEY} order by rejects._loaded_at desc
            ) = 1
            order by rejects._loaded_at desc, rejects.key
            """,
            [stream.name] * (2 if types else 1),
        )
        return [RejectedRow(stream.name, *row) for row in rows]

    def lateness(self, stream: Stream, kinds: Sequence[str], bounds: Sequence[int]) -> dict[int, int]:
        """Return the number of rows that landed below their window's low, by class of lateness."""
        return lateness(self.execute, self.dialect, stream, kinds, bounds)


def outstanding_rejects(execute: Execute, dialect: Dialect, stream: Stream, since: datetime) -> int:
    """Return how many keys were rejected since then and have no row in the raw table that was loaded later."""
    rejected = (
        "from raw_ext.rejected_rows as rejects where rejects.stream = ? and rejects._loaded_at >= cast(? as timestamp)"
    )
    values = [stream.name, str(since)]
    if not execute(f"select 1 {rejected} limit 1", values):
        return 0
    types = loaded_columns_of(execute, stream)
    raw_key, rejected_key = dialect.rejected_key(stream, types)
    later = f"""
        and not exists (
            select 1 from {dialect.raw_table(stream)} as raw_rows
            where {raw_key} = {rejected_key} and raw_rows._loaded_at > rejects._loaded_at
        )
    """
    rows = execute(f"select count(distinct rejects.key) {rejected} {later if types else ''}", values)
    return int(rows[0][0])
