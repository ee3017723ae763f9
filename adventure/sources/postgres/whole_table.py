"""Read a table whole, and stage the rows that are new, changed or deleted since the last snapshot.

With a key, the server computes a hash of each row, and only rows whose hash differs from the one that was staged are
read and staged. Without a key, a table that differs is staged whole, and loading its window replaces all rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from psycopg import sql

from adventure.core.errors import SourceShapeError
from adventure.core.files import LocalFile, NdjsonFile, empty_parquet, writing
from adventure.core.manifest import DELETES, REPLACES
from adventure.core.sql_text import quoted
from adventure.core.streams import LOG, READ_AT, ROW_NUMBER, SNAPSHOT
from adventure.core.watermark import Watermark
from adventure.sources.postgres.baseline import Baseline, Changes
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.table_rows import TableRows
from adventure.sources.source import Extract

_WITHOUT_TEXT = ("float4", "float8", "bytea")
"""Types whose text does not lead back to the value in every warehouse."""

_WHOLE_FROM = 3
"""If more than one row of this many changed, the table is read whole, which costs less than looking rows up by key."""


@dataclass(frozen=True)
class WholeTable:
    """One table in the open snapshot of its source."""

    rows: TableRows
    mark: Watermark | None

    def replace(self) -> Extract:
        """Stage all rows if the table differs from what was staged last.

        Raises:
            SourceError: the source failed.
        """
        query = (
            f"select count(*), coalesce(sum(('x' || left({self._hash}, 15))::bit(60)::bigint), 0)::text"
            f" from {self.plan.source} as t"
        )
        with self.rows.batches(self.plan, query) as batches:
            ((rows, total),) = [
                row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            ]
        position = f"{rows}-{total}"
        if self.mark and self.mark.position == position:
            return self._nothing()
        self.rows.read("true")
        rejects = self.rows.rejects()
        with writing(self.rows.folder):
            files = self.rows.writer.close() or (empty_parquet(self.rows.folder, self.plan.schema),)
        return self._extract(files, rejects, None, f"{self._mode}, {REPLACES}", position)

    def compare(self, baseline: Baseline) -> Extract:
        """Stage the rows that are new, changed or deleted.

        Raises:
            SourceError: the source or the state database failed.
            SourceShapeError: the key does not identify each row.
        """
        self._check_key()
        key = f"json_build_array({', '.join(f't.{quoted(name)}::text' for name in self.plan.stream.key)})::text"
        query = f"select {key} as key, {self._hash} as hash from {self.plan.source} as t"
        with self.rows.batches(self.plan, query) as batches:
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
        for condition in self._conditions(changes):
            self.rows.read(condition)
        rejects, writer = self.rows.rejects(), self.rows.writer
        with writing(self.rows.folder):
            if not self._begins_again:
                return self._extract(writer.close(), rejects, self._deletes(changes), self._mode, changes.position)
            files = writer.close() or (empty_parquet(self.rows.folder, self.plan.schema),)
        return self._extract(files, rejects, None, f"{self._mode}, {REPLACES}", changes.position)

    @property
    def _mode(self) -> str:
        """The mode, with the reason where it was chosen by itself."""
        reason = self.plan.stream.mode_reason
        return f"{SNAPSHOT}: {reason}" if reason else SNAPSHOT

    @property
    def _position(self) -> str | None:
        return self.mark.position if self.mark else None

    @property
    def _begins_again(self) -> bool:
        """Whether the table was read by the log before. Loading all of its rows finds those that were deleted since."""
        return self.mark is not None and self.mark.mode.startswith(LOG)

    @property
    def plan(self) -> Plan:
        """How the table is read."""
        return self.rows.plan

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
        with self.rows.batches(self.plan, query) as batches:
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

    def _deletes(self, changes: Changes) -> LocalFile | None:
        if not changes.deleted:
            return None
        with NdjsonFile(self.rows.folder / DELETES) as file:
            for keys in changes.keys(present=False):
                for key in keys:
                    parts = dict(zip(self.plan.stream.key, orjson.loads(key), strict=True))
                    file.write(orjson.dumps({"key": parts, "deleted_at": self.rows.read_at}))
            return file.close()

    def _nothing(self) -> Extract:
        return self._extract((), None, None, self._mode, self.mark.position if self.mark else None)

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
            files, rejects, columns, self.rows.read_at, deletes=deletes, mode=mode, position=position, ordered=True
        )
