"""The real load and cleanup over a simulated DuckDB connection.

Real: which windows and files are loaded, the check of each file, the order of the statements, and which windows are
removed. Modelled: what each statement does. A statement that is not known here fails the test.
"""

import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

from adventure.core.errors import WarehouseBusy, WarehouseError
from adventure.core.spans import micros
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.simulation.process import Process
from tests.simulation.source import COLUMNS

if TYPE_CHECKING:
    from tests.simulation.world import World

_TYPES = [("id", "BIGINT"), ("changed_at", "TIMESTAMP"), ("value", "BIGINT")]
_COLUMNS = [list(each) for each in zip(*_TYPES, strict=True)]
"""The names and types of a Parquet file's columns."""


class RawRow(NamedTuple):
    """A row of the raw table."""

    key: int
    cursor: int
    value: int
    """0 in a tombstone."""
    live: bool
    file: str
    number: int
    loaded_at: datetime


class Entry(NamedTuple):
    """A row of the ledger."""

    stage: str
    rows: int
    low: datetime | None
    high: datetime
    loaded_at: datetime


def _rank(row: RawRow) -> tuple[int, datetime, bool]:
    return row.cursor, row.loaded_at, row.live


@dataclass
class Database:
    """What is committed in the DuckDB file."""

    has_table: bool = False
    raw: list[RawRow] = field(default_factory=list)
    ledger: dict[tuple[str, str], Entry] = field(default_factory=dict)
    opened_by: Process | None = None

    def copy(self) -> "Database":
        """Return a backup."""
        return Database(self.has_table, list(self.raw), dict(self.ledger))

    def latest(self) -> dict[int, RawRow]:
        """Return the latest version of each key, as the base models choose it."""
        found: dict[int, RawRow] = {}
        for row in self.raw:
            before = found.get(row.key)
            if before is None or _rank(row) > _rank(before):
                found[row.key] = row
        return found

    def spans(self) -> list[tuple[datetime | None, datetime]]:
        """Return the spans of the cursor that the ledger holds."""
        return [(entry.low, entry.high) for entry in self.ledger.values()]


def failed() -> duckdb.Error:
    """Return the error of a statement that fails."""
    return duckdb.IOException("IO Error: the disk is full")


class SimulatedConnection:
    """A connection to the DuckDB file."""

    def __init__(self, process: Process, database: Database, *, file_by_file: bool) -> None:
        self._process, self._database, self._file_by_file = process, database, file_by_file
        self._raw: list[RawRow] = []
        self._ledger: dict[tuple[str, str], Entry] = {}
        self._has_table = False
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, statement: str, values: Any = ()) -> "SimulatedConnection":
        """Run one of the statements that load and cleanup use."""
        self._process.effect(failed)
        database, text = self._database, statement.lstrip()
        self._rows = []
        if text == "begin transaction":
            self._has_table = database.has_table
        elif text == "commit":
            self._commit()
            self._process.answered(failed)
        elif text == "rollback":
            self._raw, self._ledger, self._has_table = [], {}, False
        elif text.startswith('select window_id, file, "ROWS" from raw_ext.load_history'):
            stage, low, high = values
            self._rows = [
                (window_id, file, entry.rows)
                for (window_id, file), entry in database.ledger.items()
                if entry.stage == stage and low <= window_id <= high
            ]
        elif text.startswith("select name, type from pragma_table_info("):
            if not (self._has_table or database.has_table):
                raise duckdb.CatalogException("Catalog Error: Table with name things_raw does not exist!")
            self._rows = list(_TYPES)
        elif text.startswith("select 1 from duckdb_views()"):
            # The view of latest versions has always the columns of its table.
            self._rows = [(1,)]
        elif text.startswith("create table"):
            self._has_table = True
        elif text.startswith("select greatest("):
            last = max((entry.loaded_at for entry in database.ledger.values()), default=datetime.min)
            self._rows = [(max(values[0], last + timedelta(microseconds=1)),)]
        elif text.startswith("select file_name, list(name order by column_id)"):
            self._rows = [(path, *_COLUMNS) for path in values[0]]
        elif text.startswith("insert into raw_ext.load_history"):
            self._record(zip(*values, strict=True))
        elif isinstance(values, dict) and "from read_parquet(" in text:
            for file in zip(values["paths"], values["labels"], values["stamps"], strict=True):
                self._insert(*file)
        elif text.startswith("select _file, count(*) from"):
            self._rows = list(
                Counter(row.file for row in database.raw + self._raw if row.loaded_at >= values[0]).items()
            )
        elif not text.startswith(("create schema", "alter table")):
            raise AssertionError(f"the simulated warehouse does not know the statement {text}")
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    def insert_tombstones(self, path: str, label: str, loaded_at: datetime) -> int:
        """Insert the rows of a `deletes.ndjson.gz`."""
        self._process.effect(failed)
        lines = self._content(path)
        self._raw += [RawRow(key, at, 0, False, label, number, loaded_at) for number, (key, at) in enumerate(lines)]
        return len(lines)

    def _insert(self, path: str, label: str, loaded_at: datetime) -> None:
        self._raw += [
            RawRow(key, cursor, value, True, label, number, loaded_at)
            for number, (key, cursor, value) in enumerate(self._content(path))
        ]

    def _record(self, files: Iterable[tuple[Any, ...]]) -> None:
        """Enter files in the ledger. File by file, each is committed with its rows, and the next may fail."""
        rows_of_all = self._raw
        for _, stage, window_id, file, _, rows, _, _, low, high, *_, loaded_at in files:
            if self._file_by_file:
                self._process.effect(failed)
            self._ledger[window_id, file] = Entry(stage, rows, low, high, loaded_at)
            if self._file_by_file:
                label = f"{stage}/{window_id}/{file}"
                self._raw = [row for row in rows_of_all if row.file == label]
                self._commit()

    def _content(self, path: str) -> Any:
        file = self._process.world.path(self._process, path)
        try:
            return marshal.loads(file.file().content)
        except (ValueError, EOFError, TypeError) as error:
            raise duckdb.InvalidInputException("Invalid Input Error: No magic bytes found") from error
        except OSError as error:
            raise duckdb.IOException(f"IO Error: No files found that match the pattern {path}") from error

    def _commit(self) -> None:
        self._database.has_table |= self._has_table
        self._database.raw += self._raw
        self._database.ledger |= self._ledger
        self._raw, self._ledger, self._has_table = [], {}, False


class SimulatedWarehouse(DuckDBWarehouse):
    """The real warehouse on a simulated file."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world, self._process = world, process
        self._stage = FolderStage(world.path(process, "/data/stage"))  # type: ignore[arg-type]
        self._path: Any = self
        self._retry_for = self._open = self._kept = None

    @contextmanager
    def connect(self) -> Iterator[SimulatedConnection]:
        """Open the file, which one process at a time can do."""
        database = self._world.database
        if database.opened_by is not None and database.opened_by.alive:
            raise WarehouseBusy("The warehouse is held by another command")
        database.opened_by = self._process
        try:
            yield SimulatedConnection(self._process, database, file_by_file=self._world.config.file_by_file)
        except duckdb.Error as error:
            raise WarehouseError(f"The warehouse failed: {error}") from error
        finally:
            database.opened_by = None

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(statement, list(values)).fetchall()


def write_tombstones(
    connection: SimulatedConnection, stream: Stream, table: object, path: str, label: str, loaded_at: datetime
) -> int:
    """See `adventure.destinations.duckdb.tombstones.write_tombstones`."""
    return connection.insert_tombstones(path, label, loaded_at)


def as_tombstone(line: dict[str, Any]) -> tuple[int, int]:
    """Return key and time of a deletion, from a line as `Repair` writes it."""
    return int(line["key"]["id"]), micros(datetime.fromisoformat(line["deleted_at"]))


assert [column.name for column in COLUMNS] == [name for name, _ in _TYPES]
