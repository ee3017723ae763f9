"""Load the files of a history into the warehouse's raw tables, all of them or none."""

from datetime import datetime, timedelta
from importlib.resources import files as package_files
from pathlib import Path

import duckdb

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError
from adventure.core.log import get_logger
from adventure.core.sql_text import json_path, quoted
from adventure.demo.history.files import DataFile, find_files, read_file
from adventure.demo.history.tables import RAW_TABLES, RawTable

log = get_logger()

_FAULTS_SHOWN = 3
_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"


def load_files(
    connection: duckdb.DuckDBPyConnection, folder: Path, *, allow_missing: bool, after: datetime | None = None
) -> None:
    """Replace the content of all raw tables of the history, in one transaction.

    Args:
        allow_missing: leave tables without a file empty, with a warning.
        after: stamp the rows with a later `_loaded_at` than this; for a warehouse that was loaded elsewhere before.

    Raises:
        ConfigError: a file or a column is missing, or a row does not fit its table; nothing was loaded.
    """
    sources = _find_all(folder, allow_missing=allow_missing)
    create_tables(connection)
    connection.begin()
    try:
        loaded_at = _next_stamp(connection, after)
        for number, table in enumerate(RAW_TABLES, 1):
            connection.execute(f"delete from {table.location}")
            rows = sum(_load_file(connection, table, file, loaded_at) for file in sources[table.name])
            log.info(
                f"history: {table.location} has {rows:,} rows, {number} of {len(RAW_TABLES)} tables",
                table=table.location,
                rows=rows,
            )
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the missing raw tables."""
    tables = package_files("adventure.destinations.duckdb") / "history_tables.sql"
    connection.execute(tables.read_text(encoding="utf-8"))


def is_loaded(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether any raw table of the history has a row."""
    create_tables(connection)
    return any(connection.execute(f"select 1 from {table.location} limit 1").fetchone() for table in RAW_TABLES)


def _find_all(folder: Path, *, allow_missing: bool) -> dict[str, list[DataFile]]:
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}", "Pass a folder with one file or folder per raw table")
    sources = {table.name: find_files(folder, table.name) for table in RAW_TABLES}
    missing = [name for name, files in sources.items() if not files]
    if len(missing) == len(sources) or (missing and not allow_missing):
        raise ConfigError(
            f"{folder} has no file for {', '.join(missing)}",
            "Add a file or folder of that name, or pass --allow-missing if there is no such data",
        )
    for name in missing:
        log.warning(f"history: {folder} has no file for {name}; that table stays empty", table=name)
    return sources


def _next_stamp(connection: duckdb.DuckDBPyConnection, after: datetime | None) -> datetime:
    """Return `_loaded_at` for this load: now, or later than every earlier load if the clock went back."""
    held = [connection.execute(f"select max(_loaded_at) from {table.location}").fetchone() for table in RAW_TABLES]
    stamps: list[datetime] = [
        stamp + timedelta(microseconds=1) for stamp in (after, *(row[0] for row in held if row)) if stamp
    ]
    return max([utc_now(), *stamps])


def _load_file(connection: duckdb.DuckDBPyConnection, table: RawTable, file: DataFile, loaded_at: datetime) -> int:
    columns = read_file(connection, file)
    if table.keys:
        _to_documents(connection, table, file, columns)
        _restore_key_case(connection, table, file)
        _warn_about_unparsed(connection, table, file)
        target = ["raw"]
    else:
        target = _to_columns(connection, table, file, columns)
    names = ", ".join(target)
    found = connection.execute(
        f"insert into {table.location} ({names}, _file, _file_row, _loaded_at)"
        f" select {names}, ?, _position, ? from fitted order by _position",
        [file.label, loaded_at],
    ).fetchone()
    return int(found[0]) if found else 0


def _to_documents(connection: duckdb.DuckDBPyConnection, table: RawTable, file: DataFile, columns: list[str]) -> None:
    """Create `fitted` with one document per row; text that does not parse becomes a JSON string."""
    ours = {column.lower(): column for column in columns}
    types = dict(connection.execute("select column_name, column_type from (describe incoming)").fetchall())
    if columns == ["document"] or "raw" in ours:
        column = columns[0] if columns == ["document"] else ours["raw"]
        text = quoted(column) if types[column] in ("VARCHAR", "JSON") else f"cast(to_json({quoted(column)}) as varchar)"
    else:
        _refuse_missing(file, table.keys, columns)
        # Build the document as text: DuckDB's JSON functions would convert numbers to doubles.
        values = [f"'\"{key}\":' || {_json_value(table, key, ours[key.lower()], types)}" for key in table.keys]
        text = f"'{{' || concat_ws(',', {', '.join(values)}) || '}}'"
    connection.execute(
        "create or replace temp table fitted as select _position,"
        " case when json_valid(document) then cast(document as json) else to_json(document) end as raw"
        f" from (select _position, {text} as document from incoming)"
    )


def _json_value(table: RawTable, key: str, column: str, types: dict[str, str]) -> str:
    """Return SQL for a column's value as JSON text; text in a numeric column stays text."""
    name, is_text = quoted(column), types[column] == "VARCHAR"
    value = f"cast(to_json({name}) as varchar)"
    if is_text and key in table.nested:
        value = f"case when json_valid({name}) then {name} else {value} end"
    elif is_text and key in table.numbers:
        value = f"case when regexp_full_match({name}, '{_NUMBER}') then {name} else {value} end"
    return f"coalesce({value}, 'null')"


def _restore_key_case(connection: duckdb.DuckDBPyConnection, table: RawTable, file: DataFile) -> None:
    """Restore the source system's case of the keys; raise ConfigError if a key is missing."""
    found = connection.execute(
        "select distinct unnest(json_keys(raw)) from fitted where json_type(raw) = 'OBJECT'"
    ).fetchall()
    keys = [str(key) for (key,) in found]
    if not keys:
        return
    _refuse_missing(file, table.keys, keys)
    if not set(table.keys) <= set(keys):
        # Replace in the text: a quoted word before a colon is always a key, in nested objects too.
        text = "cast(raw as varchar)"
        for key in dict.fromkeys((*table.keys, *table.nested_keys)):
            text = f"""regexp_replace({text}, '(?i)"{key}"(\\s*:)', '"{key}"\\1', 'g')"""
        connection.execute(f"update fitted set raw = cast({text} as json) where json_type(raw) = 'OBJECT'")


def _warn_about_unparsed(connection: duckdb.DuckDBPyConnection, table: RawTable, file: DataFile) -> None:
    rows = connection.execute(
        "select _position + 1 from fitted where json_type(raw) is distinct from 'OBJECT' order by 1"
    ).fetchall()
    if rows:
        shown = ", ".join(str(row) for (row,) in rows[:_FAULTS_SHOWN])
        log.warning(
            f"history: {file.label} has {len(rows)} rows that are not JSON objects: row {shown}; {table.location} keeps"
            " them as text, and a dbt test reports them",
            file=file.label,
            rows=len(rows),
        )


def _to_columns(
    connection: duckdb.DuckDBPyConnection, table: RawTable, file: DataFile, columns: list[str]
) -> list[str]:
    """Create `fitted` with the table's columns and return their names."""
    described = connection.execute(
        f"select column_name, column_type from (describe {table.location}) where not starts_with(column_name, '_')"
    ).fetchall()
    if columns == ["document"]:
        columns = _to_texts(connection, file)
    names = [name for name, _ in described]
    _refuse_missing(file, names, columns)
    ours = {column.lower(): quoted(column) for column in columns}
    _refuse_unconvertible(connection, file, [(name, ours[name], kind) for name, kind in described])
    fitted = ", ".join(f"cast({ours[name]} as {kind}) as {name}" for name, kind in described)
    connection.execute(f"create or replace temp table fitted as select _position, {fitted} from incoming")
    return names


def _to_texts(connection: duckdb.DuckDBPyConnection, file: DataFile) -> list[str]:
    """Turn documents into columns of text and return their names."""
    broken = connection.execute(
        "select _position + 1 from incoming"
        " where not json_valid(document) or json_type(document) <> 'OBJECT' order by 1"
    ).fetchall()
    if broken:
        shown = ", ".join(str(row) for (row,) in broken[:_FAULTS_SHOWN])
        raise ConfigError(
            f"{file.label} has {len(broken)} rows that are not JSON objects: row {shown}",
            "Fix those rows; nothing was loaded",
        )
    found = connection.execute("select distinct unnest(json_keys(document)) from incoming").fetchall()
    keys = [str(key) for (key,) in found]
    texts = ", ".join(f"json_extract_string(document, ?) as {quoted(key)}" for key in keys)
    paths = [json_path(key) for key in keys]
    connection.execute(f"create or replace temp table incoming as select _position, {texts} from incoming", paths)
    return keys


def _refuse_missing(file: DataFile, wanted: "tuple[str, ...] | list[str]", columns: list[str]) -> None:
    ours = {column.lower() for column in columns}
    missing = [name for name in wanted if name.lower() not in ours]
    if missing:
        raise ConfigError(
            f"{file.label} has no column {', '.join(missing)}",
            "Add the column; it may be empty",
        )


def _refuse_unconvertible(
    connection: duckdb.DuckDBPyConnection, file: DataFile, columns: list[tuple[str, str, str]]
) -> None:
    """Raise ConfigError for values that their column's type cannot hold; name row, column and value."""
    checks = [
        f"select _position + 1 as row, '{name}' as name, cast({ours} as varchar) as value,"
        f" '{kind}' as kind from incoming"
        f" where {ours} is not null and try_cast({ours} as {kind}) is null"
        for name, ours, kind in columns
    ]
    faults = connection.execute(f"{' union all '.join(checks)} order by row, name").fetchall()
    if faults:
        shown = "; ".join(
            f"row {row}: {name} '{value}' is not a {kind.lower()}" for row, name, value, kind in faults[:_FAULTS_SHOWN]
        )
        raise ConfigError(
            f"{file.label} has {len(faults)} values that do not fit: {shown}", "Fix those rows; nothing was loaded"
        )
