"""Compare one stream between source and warehouse, key by key.

Everything that grows with the data is in a temporary DuckDB file, so memory does not grow with the number of rows.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from adventure.core.clock import earlier
from adventure.core.key_kinds import key_parts
from adventure.core.log import get_logger
from adventure.core.spans import Digest, Pieces, Side, Span, differing, joined, micros, moment
from adventure.core.streams import Stream
from adventure.destinations.warehouse import WITHOUT_CURSOR, VersionReader, Versions
from adventure.reconcile.result import Difference, Example, Result, Suspect
from adventure.sources.progress import EVERY_SEC
from adventure.sources.side import SourceSide, Version

log = get_logger()

BATCH = 5_000
"""Keys per lookup at the source."""

EXAMPLES = 5
"""Examples shown per verdict."""

MEMORY = "300MB"
"""DuckDB's memory limit; it spills the rest to disk."""

_TABLES = """
create table listed_source (key varchar, cursor bigint, row varchar);
create table listed_warehouse (key varchar, cursor bigint, row varchar);
create table suspects (key varchar);
create table asked (key varchar, rejected_key varchar);
create table present (key varchar, cursor bigint, row varchar);
create table keyless (rejected_key varchar, cursor bigint, row varchar);
"""

# A key is suspect if only one side has it in that version, in a span whose hashes differ.
_SUSPECTS = """
insert into suspects
with differing as (
    (from listed_source except from listed_warehouse)
    union all
    (from listed_warehouse except from listed_source)
)
select distinct key from differing
"""

# Compare re-read rows only, so that rows changed during the comparison are not reported.
_VERDICTS = """
create table verdicts as
with sources as (
    select key, max(cursor) as cursor, arg_max(row, cursor) as row, true as there from present group by key
),
waiting as (
    select key, max(cursor) filter (where live) as cursor, bool_or(not live) as dead
    from staged where live is not null group by key
),
rejects as (
    -- The version of a rejected row without a cursor is unknown.
    select
        key,
        max(cursor) as cursor,
        bool_or(cursor is null) as any_version,
        bool_or(cursor = $without_cursor) as without_cursor
    from (select key, cursor from rejected union all select key, cursor from staged where live is null)
    group by key
)
select
    asked.key,
    sources.cursor as source,
    held.cursor as held,
    held.parts,
    case
        when sources.there is null and not coalesce(held.live, false) then 'equal'
        when sources.there is null and waiting.dead then 'in flight'
        when sources.there is null then 'deleted'
        when sources.cursor >= $in_flight then 'in flight'
        when held.live and held.cursor = sources.cursor and held.row is not distinct from sources.row then 'equal'
        when held.cursor > sources.cursor or held.cursor = sources.cursor and not held.live then 'behind'
        when waiting.cursor >= sources.cursor then 'in flight'
        when rejects.any_version or rejects.cursor >= sources.cursor then 'rejected'
        when rejects.without_cursor and sources.cursor is null then 'rejected'
        when held.cursor = sources.cursor then 'changed'
        when sources.cursor is null then 'unusable'
        when coalesce(held.live, false) then 'stale'
        else 'missing'
    end as verdict,
    false as is_keyless
from (select distinct key, rejected_key from asked) as asked
left join sources on sources.key = asked.key
left join held on held.key = asked.key
left join waiting on waiting.key = asked.key
left join rejects on rejects.key = asked.rejected_key
union all
select
    keyless.rejected_key,
    keyless.cursor,
    null,
    null,
    case
        when keyless.cursor >= $in_flight then 'in flight'
        when rejects.key is not null then 'rejected'
        else 'unusable'
    end,
    true
from keyless
left join rejects on rejects.key = keyless.rejected_key
"""


class Comparison:
    """The comparison of one stream, with its temporary file."""

    def __init__(self, stream: Stream, warehouse: VersionReader, source: SourceSide, scratch: Path) -> None:
        self.stream = stream
        self._source, self._warehouse, self._scratch = source, warehouse, scratch
        self._logged_at = time.monotonic()

    def run(
        self,
        watermark: datetime,
        lookback: timedelta,
        low: datetime | None,
        high: datetime | None,
        *,
        without: Collection[str] = (),
    ) -> Result:
        """Compare the rows with cursors in `[low, high)`, at most up to the watermark. Default: all below it.

        Args:
            lookback: how far below the watermark the next window looks for late rows; they count as in flight. Ignored
                while a window is damaged: the processor staged its rows and does not stage them again.
            without: ids of windows that count as not staged.
        """
        kinds, rows_of = self._source.key_kinds, self._source.row_columns
        with (
            self._warehouse.versions(self.stream, kinds, rows_of, self._scratch.parent) as held,
            self.open() as connection,
        ):
            connection.execute(_TABLES)
            span = self._span(held, micros(watermark), low, high)
            rows = self._find_suspects(connection, held, span) if span else 0
            self._recheck(connection)
        are_whole = self._warehouse.copy_suspects(self.stream, kinds, rows_of, self._scratch, without=without)
        in_flight = micros(earlier(watermark, lookback) if are_whole and not without else watermark)
        with self.open() as connection:
            connection.execute(_VERDICTS, {"in_flight": in_flight, "without_cursor": WITHOUT_CURSOR})
            return Result(self.stream, span, rows, _differences(connection))

    def suspects(self, *verdicts: str) -> Iterator[list[Suspect]]:
        """Yield the keys for which `run` found one of these verdicts, in batches."""
        with self.open() as connection:
            connection.execute(
                "select key, parts, held from verdicts where list_contains(?, verdict) and not is_keyless order by key",
                [list(verdicts)],
            )
            while batch := connection.fetchmany(BATCH):
                yield [
                    Suspect(key_parts(key, len(self.stream.key)), tuple(parts) if parts else None, held)
                    for key, parts, held in batch
                ]

    def lateness(self, mark: int, bounds: Sequence[int]) -> dict[int, int]:
        """Count missing and stale rows by how far below the mark they are: by index of the first bound that fits."""
        with self.open() as connection:
            found = connection.execute(
                """
                select len(list_filter($bounds::bigint[], lambda bound: bound < $mark - source)) as number, count(*)
                from verdicts
                where verdict in ('missing', 'stale')
                group by 1
                """,
                {"mark": mark, "bounds": list(bounds)},
            ).fetchall()
        return dict(found)

    @contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the temporary file."""
        with duckdb.connect(str(self._scratch)) as connection:
            connection.execute(f"set memory_limit = '{MEMORY}'")
            connection.execute("set preserve_insertion_order = false")
            connection.execute("set enable_progress_bar = false")
            yield connection

    def _span(self, held: Versions, mark: int, low: datetime | None, high: datetime | None) -> Span | None:
        end = min(micros(high), mark) if high else mark
        if low:
            begin = micros(low)
        else:
            lowest = (self._source.lowest(), held.lowest())
            begin = min((each for each in lowest if each is not None), default=end)
        return Span(begin, end) if begin < end else None

    def _find_suspects(self, connection: duckdb.DuckDBPyConnection, held: Versions, span: Span) -> int:
        """Hash both sides and list the keys where they differ. Return the number of rows at the source."""
        source = _RowCounter(self._source)
        parts = list(joined(differing(source, _WarehouseSide(held), span)))
        for number, part in enumerate(parts, 1):
            self._log_progress(number, len(parts))
            for batch in self._source.versions(part):
                _insert(connection, "listed_source", batch)
            for batch in held.between(part.low, part.high):
                _insert(connection, "listed_warehouse", batch)
        connection.execute(_SUSPECTS)
        return source.rows or 0

    def _log_progress(self, number: int, of: int) -> None:
        if time.monotonic() - self._logged_at > EVERY_SEC:
            self._logged_at = time.monotonic()
            log.info(f"{self.stream.name}: listing rows, {number:,} of {of:,} ranges that differ")

    def _recheck(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the suspects again from the source, and the rows that are in no range of the cursor."""
        with connection.cursor() as reading:
            reading.execute("select key from suspects")
            while batch := reading.fetchmany(BATCH):
                self._insert_present(connection, [key for (key,) in batch])
        for keys in self._source.unusable():
            connection.executemany("insert into suspects values (?)", [[key] for key in keys])
            self._insert_present(connection, keys)
        for rows in self._source.keyless():
            _insert(connection, "keyless", [(key, cursor, None) for key, cursor in rows])

    def _insert_present(self, connection: duckdb.DuckDBPyConnection, keys: list[str]) -> None:
        parts = [key_parts(key, len(self.stream.key)) for key in keys]
        asked = [(key, ",".join(each)) for key, each in zip(keys, parts, strict=True)]
        connection.executemany("insert into asked values (?, ?)", asked)
        _insert(connection, "present", self._source.lookup(parts))


class _WarehouseSide:
    """The warehouse as a `Side`."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """Return a digest per piece; see `Side`."""
        found = self._versions.digests(pieces.span.low, pieces.span.high, pieces.width)
        return {number: Digest(rows, total) for number, rows, total in found}


class _RowCounter:
    """A side that records the row count of its first digest, which covers the whole span."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self.rows: int | None = None

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """Return a digest per piece; see `Side`."""
        found = self._side.digests(pieces)
        if self.rows is None:
            self.rows = sum(digest.rows for digest in found.values())
        return found


def _insert(connection: duckdb.DuckDBPyConnection, table: str, versions: Sequence[Version]) -> None:
    if versions:
        keys, cursors, rows = zip(*versions, strict=True)
        columns = [pa.array(keys, pa.string()), pa.array(cursors, pa.int64()), pa.array(rows, pa.string())]
        batch = pa.table(columns, names=["key", "cursor", "row"])  # noqa: F841
        connection.execute(f"insert into {table} from batch")


def _differences(connection: duckdb.DuckDBPyConnection) -> dict[str, Difference]:
    found = connection.execute(
        """
        select verdict, count(*), min_by(struct_pack(key, source, held), key, $examples)
        from verdicts
        where verdict != 'equal'
        group by verdict
        """,
        {"examples": EXAMPLES},
    ).fetchall()
    return {
        verdict: Difference(rows, tuple(Example(e["key"], _moment(e["source"]), _moment(e["held"])) for e in examples))
        for verdict, rows, examples in found
    }


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)
