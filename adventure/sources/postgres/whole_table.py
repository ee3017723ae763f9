"""Read a table whole, and stage the rows that are new, changed or deleted since the last snapshot.

With a key, the server computes a hash of each row, and only rows whose hash differs from the one that was staged are
read and staged. Without a key, a table that differs is staged whole, and loading its window replaces all rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
from psycopg import sql

from adventure.core.errors import SourceShapeError
from adventure.core.files import LocalFile, NdjsonFile, Reject, empty_parquet, write_rejects, writing
from adventure.core.manifest import DELETES, REPLACES
from adventure.core.sql_text import quoted
from adventure.core.streams import LOG, READ_AT, ROW_NUMBER, SNAPSHOT
from adventure.core.watermark import Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.baseline import Baseline, Changes
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.writer import RowWriter
from adventure.sources.source import Extract

_TICK = timedelta(microseconds=1)
_WITHOUT_TEXT = ("float4", "float8", "bytea")
"""Types whose text does not lead back to the value in every warehouse."""

_WHOLE_FROM = 3
"""If more than one row of this many changed, the table is read whole, which costs less than looking rows up by key."""

Batches = Callable[[Plan, str], AbstractContextManager[Iterator[pa.RecordBatch]]]


@dataclass(frozen=True)
class WholeTable:
    """One table in the open snapshot of its source."""

    plan: Plan
    mark: Watermark | None
    batches: Batches
    """Runs a query in the snapshot."""
    rejects: Callable[[Plan, str], Iterator[Reject]]
    """Yields the rows under a condition that cannot be converted."""
    folder: Path
    delta: bool

    @classmethod
    def at(
        cls,
        plan: Plan,
        mark: Watermark | None,
        end: datetime,
        batches: Batches,
        rejects: Callable[[Plan, str], Iterator[Reject]],
        folder: Path,
        *,
        delta: bool,
    ) -> "WholeTable":
        """Return the table as it is read now.

        Args:
            end: the server's clock. The rows get this time, or the one after the last snapshot's if it was set back.
        """
        read_at = max(end - _TICK, mark.value) if mark else end - _TICK
        return cls(plan.at(read_at), mark, batches, rejects, folder, delta)

    def replace(self) -> Extract:
        """Stage all rows if the table differs from what was staged last.

        Raises:
            SourceError: the source failed.
        """
        query = (
            f"select count(*), coalesce(sum(('x' || left({self._hash}, 15))::bit(60)::bigint), 0)::text"
            f" from {self.plan.source} as t"
        )
        with self.batches(self.plan, query) as batches:
            ((rows, total),) = [
                row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            ]
        position = f"{rows}-{total}"
        if self.mark and self.mark.position == position:
            return self._nothing()
        writer = self._writer()
        self._read(writer, "true")
        rejects = self._rejects(writer, ["true"])
        with writing(self.folder):
            files = writer.close() or (empty_parquet(self.folder, self.plan.schema),)
        return self._extract(files, rejects, None, f"{SNAPSHOT}, {REPLACES}", position)

    def compare(self, baseline: Baseline) -> Extract:
        """Stage the rows that are new, changed or deleted.

        Raises:
            SourceError: the source or the state database failed.
            SourceShapeError: the key does not identify each row.
        """
        self._check_key()
        key = f"json_build_array({', '.join(f't.{quoted(name)}::text' for name in self.plan.stream.key)})::text"
        query = f"select {key} as key, {self._hash} as hash from {self.plan.source} as t"
        with self.batches(self.plan, query) as batches:
            rows = (list(zip(*(c.to_pylist() for c in batch.columns), strict=True)) for batch in batches)
            changes = baseline.compare(self.plan.stream, None if self._begins_again else self._position, rows)
        if changes.repeated:
            raise SourceShapeError(
                f"stream {self.plan.stream.name}: more than one row of {self.plan.stream.location} has the key"
                f" {changes.repeated}",
                "Name columns that identify each row as its key; or remove key, so that the table is replaced whole",
            )
        if not changes.changed and not changes.deleted and not self._begins_again:
            return self._nothing()
        writer = self._writer()
        rejecting = []
        for condition in self._conditions(changes):
            before = writer.rejected
            self._read(writer, condition)
            rejecting += [condition] if writer.rejected > before else []
        rejects = self._rejects(writer, rejecting)
        with writing(self.folder):
            if not self._begins_again:
                return self._extract(writer.close(), rejects, self._deletes(changes), SNAPSHOT, changes.position)
            files = writer.close() or (empty_parquet(self.folder, self.plan.schema),)
        return self._extract(files, rejects, None, f"{SNAPSHOT}, {REPLACES}", changes.position)

    @property
    def _position(self) -> str | None:
        return self.mark.position if self.mark else None

    @property
    def _begins_again(self) -> bool:
        """Whether the table was read by the log before. Loading all of its rows finds those that were deleted since."""
        return self.mark is not None and self.mark.mode.startswith(LOG)

    @property
    def _read_at(self) -> datetime:
        assert self.plan.read_at
        return self.plan.read_at

    @property
    def _hash(self) -> str:
        """The hash of a row. A column that is added, dropped or renamed changes all hashes."""
        names = [column.name for column in self.plan.columns if column.name not in (READ_AT, ROW_NUMBER)]
        return f"md5({sql.Literal(' '.join(map(quoted, names))).as_string(None)} || (t.*)::text)"

    def _check_key(self) -> None:
        """Raise SourceShapeError unless the key's text leads back to the row."""
        stream = self.plan.stream
        for name in stream.key:
            if self.plan.type_names[name] in _WITHOUT_TEXT:
                raise SourceShapeError(
                    f"stream {stream.name}: its key {name} is of type {self.plan.type_names[name]}, which has no exact"
                    " text",
                    "Choose another key; or remove key, so that the table is replaced whole",
                )
        if not self.plan.nullable_key:
            return
        missing = " or ".join(f"t.{quoted(column.name)} is null" for column in self.plan.nullable_key)
        query = f"select count(*) from {self.plan.source} as t where {missing}"
        with self.batches(self.plan, query) as batches:
            count = sum(batch[0][0].as_py() for batch in batches)
        if count:
            raise SourceShapeError(
                f"stream {stream.name}: {count:,} rows of {stream.location} have NULL in their key",
                "Choose another key; or remove key, so that the table is replaced whole",
            )

    def _conditions(self, changes: Changes) -> Iterator[str]:
        """Yield conditions that together hold for the new and changed rows, and perhaps for others."""
        if not changes.changed:
            return
        if changes.changed * _WHOLE_FROM > changes.rows:
            yield "true"
            return
        for keys in changes.keys(present=True):
            yield self.plan.has_key([tuple(orjson.loads(key)) for key in keys])

    def _writer(self) -> RowWriter:
        return RowWriter(self.plan, self.folder, timedelta(0), Deduplicator(), self.delta)

    def _read(self, writer: RowWriter, condition: str) -> None:
        with self.batches(self.plan, self.plan.select(condition)) as batches:
            for batch in batches:
                writer.write(batch)

    def _rejects(self, writer: RowWriter, conditions: Sequence[str]) -> LocalFile | None:
        if not writer.rejected:
            return None
        with writing(self.folder):
            return write_rejects(
                self.folder, (reject for each in conditions for reject in self.rejects(self.plan, each))
            )

    def _deletes(self, changes: Changes) -> LocalFile | None:
        if not changes.deleted:
            return None
        with NdjsonFile(self.folder / DELETES) as file:
            for keys in changes.keys(present=False):
                for key in keys:
                    parts = dict(zip(self.plan.stream.key, orjson.loads(key), strict=True))
                    file.write(orjson.dumps({"key": parts, "deleted_at": self._read_at}))
            return file.close()

    def _nothing(self) -> Extract:
        return self._extract((), None, None, SNAPSHOT, self.mark.position if self.mark else None)

    def _extract(
        self,
        files: tuple[LocalFile, ...],
        rejects: LocalFile | None,
        deletes: LocalFile | None,
        mode: str,
        position: str | None,
    ) -> Extract:
        columns = tuple(column.column for column in self.plan.columns)
        return Extract(
            files, rejects, columns, self._read_at, deletes=deletes, mode=mode, position=position, ordered=True
        )
