"""Raw tables follow their source: columns of a window -> columns of the table.

A new column is added, a wider type widens the column where no value changes by it, a column that is gone stays and is
null from then on. Everything else stops the stream before anything of the window is loaded.
"""

import re

from duckdb import DuckDBPyConnection

from adventure.errors import SchemaDrift
from adventure.stage.manifest import Column, Window
from adventure.streams import Stream
from adventure.warehouse.duckdb.connection import quoted

LOAD_COLUMNS = {"_file": "VARCHAR", "_file_row": "BIGINT", "_loaded_at": "TIMESTAMP"}
"""What a load adds to each row: the file (`stage/window/file`), the row in it (from 1), and when (UTC)."""

_TYPES = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "large_string": "VARCHAR",
    "binary": "BLOB",
    "large_binary": "BLOB",
    "date32[day]": "DATE",
    "time64[us]": "TIME",
    "timestamp[us]": "TIMESTAMP",
    # One kind of time in the warehouse: a session's time zone must never change what a query gives.
    "timestamp[us, tz=UTC]": "TIMESTAMP",
    "json": "JSON",
}

_WHOLE = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}
"""Whole numbers by the digits they can have."""


def raw_table(stream: Stream) -> str:
    """The stream's raw table, quoted."""
    return quoted(*stream.raw_table.split("."))


def fit_table(connection: DuckDBPyConnection, stream: Stream, window: Window) -> dict[str, str]:
    """Makes the raw table, or changes it, so that it holds the window's columns.

    Returns:
        The table's type of each of the window's columns, by the window's name of it.

    Raises:
        SchemaDrift: a column does not fit; the table is as it was.
    """
    staged = _staged_types(stream, window)
    schema, name = stream.raw_table.split(".")
    held = {
        column.lower(): (column, kind)
        for column, kind in connection.execute(
            """
            select column_name, data_type
            from information_schema.columns
            where table_catalog = current_database() and lower(table_schema) = lower(?) and lower(table_name) = lower(?)
            """,
            [schema, name],
        ).fetchall()
    }
    if not held:
        columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in (staged | LOAD_COLUMNS).items())
        connection.execute(f"create schema if not exists {quoted(schema)}")
        connection.execute(f"create table {raw_table(stream)} ({columns})")
        return staged
    fitted, changes = {}, []
    for column, kind in staged.items():
        if column.lower() not in held:
            fitted[column] = kind
            changes.append(f"add column {quoted(column)} {kind}")
            continue
        held_name, held_kind = held[column.lower()]
        common = common_type(held_kind, kind)
        if common is None:
            raise _drift(stream, window, f"column {column} comes as {kind}, and {stream.raw_table} holds {held_kind}")
        fitted[column] = common
        if common != held_kind:
            changes.append(f"alter column {quoted(held_name)} set data type {common}")
    for change in changes:
        connection.execute(f"alter table {raw_table(stream)} {change}")
    return fitted


def common_type(held: str, staged: str) -> str | None:
    """The narrowest DuckDB type that holds every value of both exactly; None when there is none."""
    if held == staged:
        return held
    if held in _WHOLE and staged in _WHOLE:
        return max(held, staged, key=_WHOLE.__getitem__)
    if {held, staged} == {"FLOAT", "DOUBLE"}:
        return "DOUBLE"
    one, other = _digits(held), _digits(staged)
    if one is None or other is None:
        return None
    before, after = max(one[0], other[0]), max(one[1], other[1])
    return f"DECIMAL({before + after},{after})" if before + after <= 38 else None


def _digits(kind: str) -> tuple[int, int] | None:
    """Digits before and after the point; None for what is no exact number."""
    if kind in _WHOLE:
        return _WHOLE[kind], 0
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    return (int(found[1]) - int(found[2]), int(found[2])) if found else None


def _staged_types(stream: Stream, window: Window) -> dict[str, str]:
    """The DuckDB type of each of the window's columns."""
    types: dict[str, str] = {}
    seen = set(LOAD_COLUMNS)
    for column in window.columns:
        if column.name.lower() in seen:
            raise _drift(
                stream,
                window,
                f"column {column.name} has the name of another one: names are compared without case, and"
                f" {', '.join(LOAD_COLUMNS)} are the load's own",
            )
        seen.add(column.name.lower())
        types[column.name] = _duckdb_type(stream, window, column)
    return types


def _duckdb_type(stream: Stream, window: Window, column: Column) -> str:
    decimal = re.fullmatch(r"decimal128\((\d+), (\d+)\)", column.type)
    if decimal:
        return f"DECIMAL({decimal[1]},{decimal[2]})"
    if column.type not in _TYPES:
        raise _drift(stream, window, f"column {column.name} comes as {column.type}, which the warehouse does not know")
    return _TYPES[column.type]


def _drift(stream: Stream, window: Window, problem: str) -> SchemaDrift:
    return SchemaDrift(
        f"{stream.name}: {problem}. Nothing of window {window.id} was loaded",
        f"Change the column's type in {stream.raw_table} to one that holds both (alter table … alter column …),"
        " or rename the column at the source",
    )
