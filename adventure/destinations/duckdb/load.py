"""Loads one staged window in one transaction: rows, rejected rows, tombstones and ledger entries."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import duckdb

from adventure.core.clock import utc_now
from adventure.core.faults import Point, reached
from adventure.core.manifest import DELETES, REPLACES, StagedFile, Window
from adventure.core.sql_text import quoted
from adventure.core.stage import damaged
from adventure.core.streams import Stream
from adventure.destinations.common.dialect import columns_of
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.common.ledger import files_to_load, read_ledger
from adventure.destinations.common.staged_files import LARGEST_DOCUMENT, file_fault
from adventure.destinations.duckdb.columns import META_COLUMNS, changes, duckdb_type
from adventure.destinations.duckdb.connection import executing
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.tombstones import write_missing, write_tombstones
from adventure.destinations.results import LoadResult


def load_window(
    connection: duckdb.DuckDBPyConnection, stream: Stream, stage: FolderStage, window: Window
) -> LoadResult:
    """Load the window's files that are not in the ledger: all of them or none.

    Raises:
        StageDamaged: a file is missing or differs from window.json.
        SchemaDrift: a column no longer fits the raw table.
    """
    connection.execute("begin transaction")
    try:
        files = files_to_load(window, read_ledger(executing(connection), window.stage, [window.id]))
        for file in files:
            if fault := file_fault(stage.path(window, file.name), file):
                raise damaged(stream, fault, window.id)
        _fit_table(connection, stream, window)
        _fit_view(connection, stream)
        # Incremental models read the rows that were loaded since the last build, so the stamp must grow even when the
        # clock is set back.
        loaded_at = connection.execute(
            "select greatest(?::timestamp, max(loaded_at) + interval 1 microsecond) from raw_ext.load_history",
            [utc_now()],
        ).fetchone()[0]  # type: ignore[index]
        for file in files:
            _load_file(connection, stream, window, file, stage.path(window, file.name), loaded_at)
        if window.replaces and stream.is_replaced:
            _keep_newest(connection, stream, window)
        elif window.replaces and (
            missing := write_missing(connection, stream, columns_of(executing(connection), stream), window, loaded_at)
        ):
            deletes = StagedFile(DELETES, missing, 0, "")
            _record_file(connection, replace(window, deletes=deletes), deletes, loaded_at)
        reached(Point.LEDGER_WRITTEN, stream.name)
        connection.execute("commit")
        reached(Point.COMMITTED, stream.name)
    except BaseException:
        connection.execute("rollback")
        raise
    rows = sum(file.rows for file in files if _kind(window, file) == "data")
    return LoadResult(rows, len(files))


def _load_file(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    window: Window,
    file: StagedFile,
    path: Path,
    loaded_at: object,
) -> None:
    """Insert the file's rows, and enter it in the ledger.

    Raises:
        StageDamaged: it holds another number of rows than window.json promises.
    """
    inserted = _insert_whole(connection, stream, window, file, path, loaded_at)
    if inserted != file.rows:
        raise damaged(
            stream,
            f"{stream.name}: {window.stage}/{window.id}/{file.name} holds {inserted:,} rows where window.json"
            f" promises {file.rows:,}; nothing of the window was loaded",
            window.id,
        )
    reached(Point.ROWS_WRITTEN, stream.name)
    _record_file(connection, window, file, loaded_at)


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


def _fit_table(connection: duckdb.DuckDBPyConnection, stream: Stream, window: Window) -> None:
    """Create the raw table if it is missing; add and widen columns as the window needs."""
    table = columns_of(executing(connection), stream)
    target = DUCKDB.raw_table(stream)
    if table and _is_anothers(connection, stream, window, table):
        connection.execute(f"drop table {target}")
        table = {}
    if not table:
        columns = [f"{quoted(column.name)} {duckdb_type(column.type)}" for column in window.columns]
        columns += [f"{column} {kind}" for column, kind in META_COLUMNS.items()]
        changes(window, stream, {})
        connection.execute(f"create schema if not exists {quoted(stream.raw_table.partition('.')[0])}")
        connection.execute(f"create table {target} ({', '.join(columns)})")
        return
    for change in changes(window, stream, table):
        connection.execute(f"alter table {target} {change}")


def _is_anothers(
    connection: duckdb.DuckDBPyConnection, stream: Stream, window: Window, table: Mapping[str, str]
) -> bool:
    """Return whether the raw table was created for another source and is empty, as the shipped `orders_raw` may be.

    A table of the stream's own has its key and cursor.
    """
    if not window.columns or _needed(stream) <= {name.lower() for name in table}:
        return False
    return connection.execute(f"select 1 from {DUCKDB.raw_table(stream)} limit 1").fetchone() is None


def _needed(stream: Stream) -> set[str]:
    """Return the columns that each raw table of such a stream has, in lower case."""
    return {"raw"} if stream.documents else {name.lower() for name in (*stream.key, stream.cursor)}


def _fit_view(connection: duckdb.DuckDBPyConnection, stream: Stream) -> None:
    """Create the view of latest versions, and again when the raw table gets columns: a view keeps those that it had."""
    schema, _, view = stream.latest_view.partition(".")
    columns = (
        "select list(column_name order by column_index) from duckdb_columns()"
        " where lower(schema_name) = lower(?) and lower(table_name) = lower(?)"
    )
    table = stream.raw_table.partition(".")[2]
    held, wanted = (connection.execute(columns, [schema, name]).fetchone() for name in (view, table))
    names = {name.lower() for name in (wanted[0] if wanted else None) or ()}
    if held != wanted and _needed(stream) <= names:
        connection.execute(f"create or replace view {quoted(schema)}.{quoted(view)} as {DUCKDB.latest(stream)}")


def _insert_whole(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    window: Window,
    file: StagedFile,
    path: Path,
    loaded_at: object,
) -> int:
    """Insert one file's rows and return their number.

    Raises:
        StageDamaged: the file cannot be read, or its columns differ from window.json.
    """
    try:
        fault = _check_columns(connection, window, path) if file.name.endswith(".parquet") else ""
        inserted = 0 if fault else _insert(connection, stream, window, file, path, loaded_at)
    except duckdb.Error as error:
        if not _is_unreadable(error, path):
            raise
        fault = (str(error).splitlines() or ["no reason given"])[0]
    if fault:
        raise damaged(stream, f"{stream.name}: {path} cannot be loaded: {fault}", window.id)
    return inserted


def _insert(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    window: Window,
    file: StagedFile,
    path: Path,
    loaded_at: object,
) -> int:
    """Insert one file's rows by column name and return their number."""
    label = f"{window.stage}/{window.id}/{file.name}"
    target = DUCKDB.raw_table(stream)
    if file is window.deletes:
        types = columns_of(executing(connection), stream)
        return write_tombstones(connection, stream, types, str(path), label, loaded_at)
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
            f"insert into {target} ({names}, _file, _file_row, _loaded_at)"
            f" select {names}, ?, file_row_number, ? from read_parquet(?, file_row_number = true)"
        )
        values = [label, loaded_at, str(path)]
    else:
        # Read whole objects: the text is kept as it is, and no number passes through a double.
        statement = (
            f"insert into {target} (raw, _file, _file_row, _loaded_at)"
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


def _record_file(connection: duckdb.DuckDBPyConnection, window: Window, file: StagedFile, loaded_at: object) -> None:
    connection.execute(
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
            loaded_at,
        ],
    )
