"""Stage one stream's window: the rows whose keys the log has, or all rows of the table.

Keys that no row has any more are staged as deletions. All are read in the snapshot up to which the log was read, so
their version is the time of the snapshot.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
from psycopg import sql

from adventure.core.files import LocalFile, NdjsonFile, Reject, empty_parquet, write_rejects, writing
from adventure.core.manifest import DELETES, REPLACES
from adventure.core.sql_text import quoted
from adventure.core.streams import LOG
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.log.keys import Keys
from adventure.sources.postgres.log.pgoutput import Key
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.writer import RowWriter
from adventure.sources.source import Extract

Batches = Callable[[Plan, str], AbstractContextManager[Iterator[pa.RecordBatch]]]


@dataclass
class LogRows:
    """One table in the open snapshot of its source."""

    plan: Plan
    """See `Plan.at`."""
    types: Sequence[str]
    """The types of the key's columns, as a cast names them."""
    batches: Batches
    """Runs a query in the snapshot."""
    rejects: Callable[[Plan, str], Iterator[Reject]]
    """Yields the rows under a condition that cannot be converted."""
    folder: Path
    delta: bool
    position: str

    def read_all(self, reason: str) -> Extract:
        """Stage all rows. Loading them marks the keys that the table does not have as deleted.

        Args:
            reason: why they are read.

        Raises:
            SourceError: the source failed.
        """
        writer = self._writer()
        self._read(writer, "true")
        rejects = self._rejects(writer, ["true"])
        files = writer.close() or (empty_parquet(self.folder, self.plan.schema),)
        return self._extract(files, rejects, None, f"{LOG}, {reason}, {REPLACES}")

    def read_keys(self, keys: Keys, more: str | None, *, is_unique: bool) -> Extract:
        """Stage the rows with these keys, and the keys that have none.

        Args:
            more: a condition for other rows to stage.
            is_unique: whether the server keeps the key unique.

        Raises:
            SourceError: the source failed.
        """
        writer, rejecting = self._writer(), []
        names = self.plan.stream.key
        conditions = [more] if more else []
        if keys.has_null:
            conditions.append(f"({' or '.join(f't.{quoted(name)} is null' for name in names)})")
        for condition in conditions:
            before = writer.rejected
            self._read(writer, condition)
            rejecting += [condition] if writer.rejected > before else []
        deletes = NdjsonFile(self.folder / DELETES)
        with writing(self.folder), deletes:
            for piece in keys.pieces():
                before, condition = writer.rejected, self._has_key(piece)
                rows = self._read(writer, condition)
                rejecting += [condition] if writer.rejected > before else []
                if rows < len(piece) or not is_unique:
                    self._delete_missing(piece, deletes)
        rejects = self._rejects(writer, rejecting)
        return self._extract(writer.close(), rejects, deletes.close(), LOG)

    def _delete_missing(self, keys: Collection[Key], deletes: NdjsonFile) -> None:
        """Write those of the keys that no row has."""
        names = self.plan.stream.key
        with self.batches(self.plan, self._missing(keys)) as batches:
            for batch in batches:
                for key in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    parts = dict(zip(names, key, strict=True))
                    deletes.write(orjson.dumps({"key": parts, "deleted_at": self._read_at}))

    @property
    def _read_at(self) -> datetime:
        assert self.plan.read_at
        return self.plan.read_at

    def _has_key(self, keys: Collection[Key]) -> str:
        """Return the condition that a row has one of these keys."""
        names = self.plan.stream.key
        columns = ", ".join(f"t.{quoted(name)}" for name in names)
        values = ", ".join(f"k.k{number}::{kind}" for number, kind in enumerate(self.types))
        return f"({columns}) in (select {values} from {_table(keys, len(names))})"

    def _missing(self, keys: Collection[Key]) -> str:
        """Return the query for those of the keys, as text, that no row of the table has."""
        names = self.plan.stream.key
        values = ", ".join(f"k.k{number} as k{number}" for number, _ in enumerate(names))
        equal = " and ".join(
            f"t.{quoted(name)} = k.k{number}::{kind}"
            for number, (name, kind) in enumerate(zip(names, self.types, strict=True))
        )
        return (
            f"select {values} from {_table(keys, len(names))}"
            f" where not exists (select from {self.plan.source} as t where {equal})"
        )

    def _writer(self) -> RowWriter:
        return RowWriter(self.plan, self.folder, timedelta(0), Deduplicator(), self.delta)

    def _read(self, writer: RowWriter, condition: str) -> int:
        """Read the rows under the condition; return their number."""
        rows = 0
        with self.batches(self.plan, self.plan.select(condition)) as batches:
            for batch in batches:
                rows += batch.num_rows
                writer.write(batch)
        return rows

    def _rejects(self, writer: RowWriter, conditions: Sequence[str]) -> LocalFile | None:
        if not writer.rejected:
            return None
        with writing(self.folder):
            return write_rejects(
                self.folder, (reject for each in conditions for reject in self.rejects(self.plan, each))
            )

    def _extract(
        self, files: tuple[LocalFile, ...], rejects: LocalFile | None, deletes: LocalFile | None, mode: str
    ) -> Extract:
        columns = tuple(column.column for column in self.plan.columns)
        return Extract(
            files,
            rejects,
            columns,
            self._read_at,
            deletes=deletes,
            mode=mode,
            position=self.position,
            ordered=True,
        )


def _table(keys: Collection[Key], width: int) -> str:
    columns = list(zip(*keys, strict=True))
    arrays = ", ".join(f"{_array(column)}::text[]" for column in columns)
    return f"unnest({arrays}) as k ({', '.join(f'k{number}' for number in range(width))})"


def _array(values: Collection[str | None]) -> str:
    """Return an array as a literal, in which the server finds no syntax to misread."""
    escaped = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    inner = ",".join(f'"{value}"' for value in escaped)
    return sql.Literal("{" + inner + "}").as_string(None)
