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
from adventure.core.manifest import DELETES, REJECTS, REPLACES, StagedFile, Window
from adventure.core.sql_text import quoted
from adventure.core.stage import damaged
from adventure.core.streams import Stream
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.common.ledger import files_to_load, read_ledger
from adventure.destinations.common.staged_files import LARGEST_DOCUMENT, REJECTED_ROWS, file_fault
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
    connection.execute("begin transaction")
    try:
        files = _files(connection, stage, windows)
        for each in files:
            if fault := file_fault(each.path, each.file):
                raise damaged(stream, fault, each.window.id)
        if files:
            table = fit_raw_table(connection, stream, windows[0], table)
            _insert_whole(connection, stream, table, files)
            reached(Point.ROWS_WRITTEN, stream.name)
            _record(connection, files)
            if windows[0].replaces:
                _replace(connection, stream, table, files[0])
        reached(Point.LEDGER_WRITTEN, stream.name)
        connection.execute("commit")
        reached(Point.COMMITTED, stream.name)
    except BaseException:
        connection.execute("rollback")
        raise
    return [_result([each for each in files if each.window is window]) for window in windows]


@dataclass(frozen=True)
class _Load:
    """A staged file that is loaded."""

    window: Window
    file: StagedFile
    path: Path
    loaded_at: datetime

    @property
    def label(self) -> str:
        """The value of `_file`."""
        return f"{self.window.stage}/{self.window.id}/{self.file.name}"

    @property
    def kind(self) -> str:
        """The file's kind in the ledger."""
        return {REJECTS: "rejects", DELETES: "deletes"}.get(self.file.name, "data")


def _files(connection: duckdb.DuckDBPyConnection, stage: FolderStage, windows: Sequence[Window]) -> list[_Load]:
    """Return the windows' files that are not in the ledger. Those of a later window have a later stamp."""
    ledger = read_ledger(executing(connection), windows[0].stage, [window.id for window in windows])
    stamp = _next_stamp(connection)
    return [
        _Load(window, file, stage.path(window, file.name), stamp + timedelta(microseconds=number))
        for number, window in enumerate(windows)
        for file in files_to_load(window, ledger)
    ]


def _result(files: Sequence[_Load]) -> LoadResult:
    return LoadResult(sum(each.file.rows for each in files if each.kind == "data"), len(files))


def _next_stamp(connection: duckdb.DuckDBPyConnection) -> datetime:
    """Return this moment for `_loaded_at`, or one after the last.

    Incremental models read the rows that were loaded since the last build, so it must grow even when the clock is set
    back.
    """
    found = connection.execute(
        "select greatest(?::timestamp, max(loaded_at) + interval 1 microsecond) from raw_ext.load_history", [utc_now()]
    ).fetchone()
    return found[0]  # type: ignore[index,no-any-return]


def _insert_whole(
    connection: duckdb.DuckDBPyConnection, stream: Stream, table: dict[str, str], files: Sequence[_Load]
) -> None:
    """Insert the files' rows, all Parquet files with one statement.

    Raises:
        StageDamaged: a file cannot be read, or its columns or its number of rows differ from window.json.
    """
    parquet = [each for each in files if each.file.name.endswith(".parquet")]
    others = [each for each in files if not each.file.name.endswith(".parquet")]
    try:
        inserted = _insert_parquet(connection, stream, parquet) if parquet else {}
        inserted |= {each.label: _insert_lines(connection, stream, table, each) for each in others}
    except duckdb.Error as error:
        if unreadable := _unreadable(error, files):
            raise _unloadable(stream, unreadable, (str(error).splitlines() or ["no reason given"])[0]) from error
        raise
    for each in files:
        rows = inserted.get(each.label, 0)
        if rows != each.file.rows:
            raise damaged(
                stream,
                f"{stream.name}: {each.label} holds {rows:,} rows where window.json promises {each.file.rows:,};"
                " nothing of the window was loaded",
                each.window.id,
            )


def _unreadable(error: duckdb.Error, files: Sequence[_Load]) -> _Load | None:
    """Return the file whose content caused the error; None if memory, disk or the warehouse did."""
    named = next((each for each in files if str(each.path) in str(error)), None)
    # DuckDB's Parquet reader raises the base class when a file's metadata is broken.
    if type(error) is duckdb.Error or isinstance(error, duckdb.InvalidInputException | duckdb.DataError):
        return named or files[0]
    return named if isinstance(error, duckdb.IOException) else None


def _unloadable(stream: Stream, load: _Load, fault: str) -> StageDamaged:
    return damaged(stream, f"{stream.name}: {load.path} cannot be loaded: {fault}", load.window.id)


def _check_columns(connection: duckdb.DuckDBPyConnection, stream: Stream, files: Sequence[_Load]) -> None:
    """Compare the Parquet files' columns with those of window.json.

    DuckDB would take those of the first file for all, convert a column of another type silently, and round a decimal.

    Raises:
        StageDamaged: a file has other columns.
    """
    found = connection.execute(
        "select file_name, list(name order by column_id), list(duckdb_type order by column_id)"
        " from parquet_schema(?) where column_id > 0 group by file_name",
        [[str(each.path) for each in files]],
    ).fetchall()
    columns = {path: (names, types) for path, names, types in found}
    for each in files:
        listed = each.window.columns
        promised = [column.name for column in listed], [duckdb_type(column.type) for column in listed]
        if columns.get(str(each.path)) != promised:
            raise _unloadable(stream, each, "its columns are not those of window.json")


def _insert_parquet(connection: duckdb.DuckDBPyConnection, stream: Stream, files: Sequence[_Load]) -> dict[str, int]:
    """Insert the rows of Parquet files with the same columns, and return each file's number by its label.

    Raises:
        StageDamaged: a file has other columns than window.json promises.
    """
    _check_columns(connection, stream, files)
    table = DUCKDB.raw_table(stream)
    names = ", ".join(quoted(column.name) for column in files[0].window.columns)
    # `_file` holds the path, as no column of a source can: `filename` may be one. Without `hive_partitioning`, a folder
    # named like a column (`id=7`) above the stage would replace its values.
    connection.execute(
        f"insert into {table} ({names}, _file, _file_row, _loaded_at)"
        f" select {names}, map($paths, $labels)[_file], file_row_number, map($paths, $stamps)[_file]"
        " from read_parquet($paths, filename = '_file', file_row_number = true, hive_partitioning = false)",
        {
            "paths": [str(each.path) for each in files],
            "labels": [each.label for each in files],
            "stamps": [each.loaded_at for each in files],
        },
    )
    counts = f"select _file, count(*) from {table} where _loaded_at >= ? group by _file"
    return dict(connection.execute(counts, [files[0].loaded_at]).fetchall())


def _insert_lines(connection: duckdb.DuckDBPyConnection, stream: Stream, table: dict[str, str], load: _Load) -> int:
    """Insert the rows of a file of documents, deleted or rejected rows, and return their number."""
    if load.kind == "deletes":
        return write_tombstones(connection, stream, table, str(load.path), load.label, load.loaded_at)
    values: list[object] = [load.label, load.loaded_at, str(load.path), LARGEST_DOCUMENT]
    if load.kind == "rejects":
        statement = (
            "insert into raw_ext.rejected_rows (stream, key, reason, row, _file, _loaded_at)"
            f" select ?, key, reason, row, ?, ? from {REJECTED_ROWS}"
        )
        values.insert(0, stream.name)
    else:
        # Read whole objects: the text is kept as it is, and no number passes through a double.
        statement = (
            f"insert into {DUCKDB.raw_table(stream)} (raw, _file, _file_row, _loaded_at)"
            " select json, ?, row_number() over () - 1, ? from read_ndjson_objects(?, maximum_object_size = ?)"
        )
    found = connection.execute(statement, values).fetchone()
    return int(found[0]) if found else 0


def _replace(connection: duckdb.DuckDBPyConnection, stream: Stream, table: dict[str, str], load: _Load) -> None:
    """Remove the rows that a window replaces, or write tombstones for those that it lacks.

    Args:
        load: one of the window's files.
    """
    if stream.is_replaced:
        _keep_newest(connection, stream, load.window)
    elif missing := write_missing(connection, stream, table, load.window, load.loaded_at):
        _record(connection, [replace(load, file=StagedFile(DELETES, missing, 0, ""))])


def _keep_newest(connection: duckdb.DuckDBPyConnection, stream: Stream, window: Window) -> None:
    """Remove the rows of all windows but the newest that was loaded, whatever the order in which they are loaded."""
    connection.execute(
        f"delete from {DUCKDB.raw_table(stream)} where not starts_with(_file, ("
        "select stage || '/' || max(window_id) || '/' from raw_ext.load_history"
        " where stage = ? and kind = 'data' and ends_with(mode, ?) group by stage))",
        [window.stage, REPLACES],
    )


def _record(connection: duckdb.DuckDBPyConnection, files: Sequence[_Load]) -> None:
    """Enter the files in the ledger."""
    entries = [
        (
            each.window.stream,
            each.window.stage,
            each.window.id,
            each.file.name,
            each.kind,
            each.file.rows,
            each.file.bytes,
            each.file.sha256,
            each.window.low,
            each.window.high,
            each.window.horizon,
            each.window.mode,
            each.window.run_id,
            each.window.staged_at,
            each.loaded_at,
        )
        for each in files
    ]
    connection.execute(
        f"insert into raw_ext.load_history select {', '.join(['unnest(?)'] * len(entries[0]))}",
        [list(column) for column in zip(*entries, strict=True)],
    )
