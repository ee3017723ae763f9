"""Loads staged windows in one transaction: rows, rejected rows, tombstones and ledger entries.

Many small windows that wait share a transaction, because a commit takes longer than the few rows of one of them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from adventure.core.clock import utc_now
from adventure.core.errors import SchemaDrift, StageDamaged
from adventure.core.faults import Point, reached
from adventure.core.manifest import DELETES, REPLACES, StagedFile, Window
from adventure.core.sql_text import quoted
from adventure.core.stage import damaged
from adventure.core.streams import Stream
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.common.ledger import files_to_load, read_ledger
from adventure.destinations.common.staged_files import LARGEST_DOCUMENT, file_fault
from adventure.destinations.duckdb.columns import duckdb_type
from adventure.destinations.duckdb.connection import executing
from adventure.destinations.duckdb.raw_table import columns_of, fit_raw_table
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.tombstones import write_missing, write_tombstones
from adventure.destinations.results import LoadResult

WINDOWS_A_BATCH, ROWS_A_BATCH = 100, 100_000


def batches(windows: Sequence[Window]) -> Iterator[tuple[Window, ...]]:
    """Yield the windows in their order, small ones together: those that one transaction loads.

    Windows of a batch have the same columns, so that the raw table is fitted once. One that replaces others is alone.
    """
    batch: list[Window] = []
    rows = 0
    for window in windows:
        more = sum(file.rows for file in window.all_files)
        if batch and (rows + more > ROWS_A_BATCH or not _belongs(window, batch)):
            yield tuple(batch)
            batch, rows = [], 0
        batch.append(window)
        rows += more
    if batch:
        yield tuple(batch)


def _belongs(window: Window, batch: Sequence[Window]) -> bool:
    is_alone = window.replaces or batch[0].replaces or len(batch) == WINDOWS_A_BATCH
    return not is_alone and window.columns == batch[0].columns


def load_waiting(
    connection: duckdb.DuckDBPyConnection, stream: Stream, stage: FolderStage, windows: Sequence[Window]
) -> Iterator[tuple[Window, LoadResult | StageDamaged]]:
    """Load the windows in batches, and yield each with its result. One that is damaged does not stop the others.

    The windows of a batch that fails are loaded one by one. One with deletes only waits until there is a raw table.

    Raises:
        SchemaDrift: a column no longer fits the raw table. The windows before it are loaded.
    """
    waiting = deque(batches(windows))
    while waiting:
        batch = waiting.popleft()
        if all(each.deletes and not each.columns for each in batch) and not columns_of(connection, stream):
            continue
        try:
            yield from zip(batch, load_batch(connection, stream, stage, batch), strict=True)
        except (StageDamaged, SchemaDrift) as error:
            if len(batch) > 1:
                waiting.extendleft((window,) for window in reversed(batch))
            elif isinstance(error, SchemaDrift):
                raise
            else:
                yield batch[0], error


def load_batch(
    connection: duckdb.DuckDBPyConnection, stream: Stream, stage: FolderStage, windows: Sequence[Window]
) -> list[LoadResult]:
    """Load the windows' files that are not in the ledger, all of them or none; return each window's result.

    Raises:
        StageDamaged: a file is missing or differs from window.json.
        SchemaDrift: a column no longer fits the raw table.
    """
    table = columns_of(connection, stream)
    results = []
    connection.execute("begin transaction")
    try:
        ledger = read_ledger(executing(connection), stream.stage, [window.id for window in windows])
        loaded_at = _next_stamp(connection)
        for number, window in enumerate(windows):
            found = files_to_load(window, ledger)
            for file in found:
                if fault := file_fault(stage.path(window, file.name), file):
                    raise damaged(stream, fault, window.id)
            if number == 0:
                table = fit_raw_table(connection, stream, window, table)
            target = _Target(connection, stream, window, table, loaded_at + timedelta(microseconds=number))
            for file in found:
                _load_file(target, file, stage.path(window, file.name))
            if window.replaces:
                _replace(target)
            rows = sum(file.rows for file in found if _kind(window, file) == "data")
            results.append(LoadResult(rows, len(found)))
        reached(Point.LEDGER_WRITTEN, stream.name)
        connection.execute("commit")
        reached(Point.COMMITTED, stream.name)
    except BaseException:
        connection.execute("rollback")
        raise
    return results


def _next_stamp(connection: duckdb.DuckDBPyConnection) -> datetime:
    """Return this moment for `_loaded_at`, or one after the last.

    Incremental models read the rows that were loaded since the last build, so it must grow even when the clock is set
    back.
    """
    found = connection.execute(
        "select greatest(?::timestamp, max(loaded_at) + interval 1 microsecond) from raw_ext.load_history", [utc_now()]
    ).fetchone()
    return found[0]  # type: ignore[index,no-any-return]


@dataclass(frozen=True)
class _Target:
    """Where a window's files are loaded."""

    connection: duckdb.DuckDBPyConnection
    stream: Stream
    window: Window
    columns: dict[str, str]
    """The raw table's columns with their types."""
    loaded_at: datetime

    def label(self, file: StagedFile) -> str:
        """Return the value of `_file`."""
        return f"{self.window.stage}/{self.window.id}/{file.name}"


def _load_file(target: _Target, file: StagedFile, path: Path) -> None:
    """Insert the file's rows, and enter it in the ledger.

    Raises:
        StageDamaged: it holds another number of rows than window.json promises.
    """
    stream, window = target.stream, target.window
    inserted = _insert_whole(target, file, path)
    if inserted != file.rows:
        raise damaged(
            stream,
            f"{stream.name}: {window.stage}/{window.id}/{file.name} holds {inserted:,} rows where window.json"
            f" promises {file.rows:,}; nothing of the window was loaded",
            window.id,
        )
    reached(Point.ROWS_WRITTEN, stream.name)
    _record_file(target, file)


def _replace(target: _Target) -> None:
    """Remove the rows that the window replaces, or write tombstones for those that it lacks."""
    connection, stream, window = target.connection, target.stream, target.window
    if stream.is_replaced:
        _keep_newest(connection, stream, window)
    elif missing := write_missing(connection, stream, target.columns, window, target.loaded_at):
        deletes = StagedFile(DELETES, missing, 0, "")
        _record_file(replace(target, window=replace(window, deletes=deletes)), deletes)


def _check_columns(connection: duckdb.DuckDBPyConnection, window: Window, path: Path) -> str:
    """Return what is wrong with a Parquet file's columns; empty if they are those of window.json.

    DuckDB would convert a column of another type silently, and round a decimal.
    """
    listed = [(column.name, duckdb_type(column.type)) for column in window.columns]
    found = connection.execute("describe from read_parquet(?)", [str(path)]).fetchall()
    return "" if [(row[0], row[1]) for row in found] == listed else "its columns are not those of window.json"


def _is_unreadable(error: duckdb.Error, path: Path) -> bool:
    """Return whether the file's content caused the error, and not memory, disk or the warehouse."""
    # DuckDB's Parquet reader raises the base class when a file's metadata is broken.
    is_content = type(error) is duckdb.Error or isinstance(error, duckdb.InvalidInputException | duckdb.DataError)
    return is_content or (isinstance(error, duckdb.IOException) and str(path) in str(error))


def _insert_whole(target: _Target, file: StagedFile, path: Path) -> int:
    """Insert one file's rows and return their number.

    Raises:
        StageDamaged: the file cannot be read, or its columns differ from window.json.
    """
    try:
        fault = _check_columns(target.connection, target.window, path) if file.name.endswith(".parquet") else ""
        inserted = 0 if fault else _insert(target, file, path)
    except duckdb.Error as error:
        if not _is_unreadable(error, path):
            raise
        fault = (str(error).splitlines() or ["no reason given"])[0]
    if fault:
        stream = target.stream
        raise damaged(stream, f"{stream.name}: {path} cannot be loaded: {fault}", target.window.id)
    return inserted


def _insert(target: _Target, file: StagedFile, path: Path) -> int:
    """Insert one file's rows by column name and return their number."""
    connection, stream, window = target.connection, target.stream, target.window
    label, loaded_at = target.label(file), target.loaded_at
    table = DUCKDB.raw_table(stream)
    if file is window.deletes:
        return write_tombstones(connection, stream, target.columns, str(path), label, loaded_at)
    if file is window.rejects:
        statement = (
            "insert into raw_ext.rejected_rows (stream, key, reason, row, _file, _loaded_at)"
            " select ?, key, reason, row, ?, ?"
            " from read_ndjson("
            "?, columns = {key: 'varchar', reason: 'varchar', row: 'varchar'}, maximum_object_size = ?)"
        )
        values = [stream.name, label, loaded_at, str(path), LARGEST_DOCUMENT]
    elif file.name.endswith(".parquet"):
        names = ", ".join(quoted(column.name) for column in window.columns)
        statement = (
            f"insert into {table} ({names}, _file, _file_row, _loaded_at)"
            f" select {names}, ?, file_row_number, ? from read_parquet(?, file_row_number = true)"
        )
        values = [label, loaded_at, str(path)]
    else:
        # Read whole objects: the text is kept as it is, and no number passes through a double.
        statement = (
            f"insert into {table} (raw, _file, _file_row, _loaded_at)"
            " select json, ?, row_number() over () - 1, ? from read_ndjson_objects(?, maximum_object_size = ?)"
        )
        values = [label, loaded_at, str(path), LARGEST_DOCUMENT]
    found = connection.execute(statement, values).fetchone()
    return int(found[0]) if found else 0


def _keep_newest(connection: duckdb.DuckDBPyConnection, stream: Stream, window: Window) -> None:
    """Remove the rows of all windows but the newest that was loaded, whatever the order in which they are loaded."""
    connection.execute(
        f"delete from {DUCKDB.raw_table(stream)} where not starts_with(_file, ("
        "select stage || '/' || max(window_id) || '/' from raw_ext.load_history"
        " where stage = ? and kind = 'data' and ends_with(mode, ?) group by stage))",
        [window.stage, REPLACES],
    )


def _kind(window: Window, file: StagedFile) -> str:
    """Return the file's kind in the ledger."""
    if file is window.rejects:
        return "rejects"
    return "deletes" if file is window.deletes else "data"


def _record_file(target: _Target, file: StagedFile) -> None:
    window = target.window
    target.connection.execute(
        "insert into raw_ext.load_history values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            window.stream,
            window.stage,
            window.id,
            file.name,
            _kind(window, file),
            file.rows,
            file.bytes,
            file.sha256,
            window.low,
            window.high,
            window.horizon,
            window.mode,
            window.run_id,
            window.staged_at,
            target.loaded_at,
        ],
    )
