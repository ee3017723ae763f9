"""Stage one stream's window: the rows whose keys the log has, or all rows of the table.

Keys that no row has any more are staged as deletions. All are read in the snapshot up to which the log was read, so
their version is the time of the snapshot.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson
from psycopg import sql

from adventure.core.files import LocalFile, NdjsonFile, empty_parquet, writing
from adventure.core.manifest import DELETES, REPLACES
from adventure.core.sql_text import quoted
from adventure.core.streams import LOG
from adventure.sources.postgres.log.keys import Keys
from adventure.sources.postgres.log.pgoutput import Key
from adventure.sources.postgres.table_rows import TableRows
from adventure.sources.source import Extract


@dataclass
class LogRows:
    """One table in the open snapshot of its source."""

    rows: TableRows
    types: Sequence[str]
    """The types of the key's columns, as a cast names them."""
    position: str

    def read_all(self, reason: str) -> Extract:
        """Stage all rows. Loading them marks the keys that the table does not have as deleted.

        Args:
            reason: why they are read.

        Raises:
            SourceError: the source failed.
        """
        self.rows.read("true")
        rejects = self.rows.rejects()
        files = self.rows.writer.close() or (empty_parquet(self.rows.folder, self.rows.plan.schema),)
        return self._extract(files, rejects, None, f"{LOG}, {reason}, {REPLACES}")

    def read_keys(self, keys: Keys, more: str | None, *, is_unique: bool) -> Extract:
        """Stage the rows with these keys, and the keys that have none.

        Args:
            more: a condition for other rows to stage.
            is_unique: whether the server keeps the key unique.

        Raises:
            SourceError: the source failed.
        """
        if more:
            self.rows.read(more)
        if keys.has_null:
            self.rows.read(f"({' or '.join(f't.{quoted(name)} is null' for name in self._names)})")
        deletes = NdjsonFile(self.rows.folder / DELETES)
        with writing(self.rows.folder), deletes:
            for piece in keys.pieces():
                if self.rows.read(self._has_key(piece)) < len(piece) or not is_unique:
                    self._delete_missing(piece, deletes)
        rejects = self.rows.rejects()
        return self._extract(self.rows.writer.close(), rejects, deletes.close(), LOG)

    @property
    def _names(self) -> Sequence[str]:
        return self.rows.plan.stream.key

    def _delete_missing(self, keys: Collection[Key], deletes: NdjsonFile) -> None:
        """Write those of the keys that no row has."""
        with self.rows.batches(self.rows.plan, self._missing(keys)) as batches:
            for batch in batches:
                for key in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    parts = dict(zip(self._names, key, strict=True))
                    deletes.write(orjson.dumps({"key": parts, "deleted_at": self.rows.read_at}))

    def _has_key(self, keys: Collection[Key]) -> str:
        """Return the condition that a row has one of these keys."""
        names = self._names
        columns = ", ".join(f"t.{quoted(name)}" for name in names)
        values = ", ".join(f"k.k{number}::{kind}" for number, kind in enumerate(self.types))
        return f"({columns}) in (select {values} from {_table(keys, len(names))})"

    def _missing(self, keys: Collection[Key]) -> str:
        """Return the query for those of the keys, as text, that no row of the table has."""
        names = self._names
        values = ", ".join(f"k.k{number} as k{number}" for number, _ in enumerate(names))
        equal = " and ".join(
            f"t.{quoted(name)} = k.k{number}::{kind}"
            for number, (name, kind) in enumerate(zip(names, self.types, strict=True))
        )
        return (
            f"select {values} from {_table(keys, len(names))}"
            f" where not exists (select from {self.rows.plan.source} as t where {equal})"
        )

    def _extract(
        self, files: tuple[LocalFile, ...], rejects: LocalFile | None, deletes: LocalFile | None, mode: str
    ) -> Extract:
        columns = tuple(column.column for column in self.rows.plan.columns)
        return Extract(
            files,
            rejects,
            columns,
            self.rows.read_at,
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
