"""The raw table of a stream, and the view of its latest versions: created, and fitted to the columns of a window."""

from collections.abc import Mapping

import duckdb

from adventure.core.manifest import Window
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.duckdb.columns import META_COLUMNS, changes, duckdb_type


def columns_of(connection: duckdb.DuckDBPyConnection, stream: Stream) -> dict[str, str]:
    """Return the raw table's columns with their types, in their order; empty when there is no such table.

    It looks at one table, where `information_schema` looks at those of all streams. Call it outside of a transaction,
    which a missing table would end.
    """
    try:
        return _columns(connection, DUCKDB.raw_table(stream))
    except duckdb.CatalogException:
        return {}


def fit_raw_table(
    connection: duckdb.DuckDBPyConnection, stream: Stream, window: Window, table: dict[str, str]
) -> dict[str, str]:
    """Create the raw table if it is missing; add and widen columns as the window needs. Return its columns then.

    Args:
        table: the raw table's columns with their types; empty if there is none.

    Raises:
        SchemaDrift: a column no longer fits the raw table.
    """
    target = DUCKDB.raw_table(stream)
    if table and _is_anothers(connection, stream, window, table):
        connection.execute(f"drop table {target}")
        table = {}
    if table:
        statements = [f"alter table {target} {change}" for change in changes(window, stream, table)]
    else:
        columns = [f"{quoted(column.name)} {duckdb_type(column.type)}" for column in window.columns]
        columns += [f"{column} {kind}" for column, kind in META_COLUMNS.items()]
        changes(window, stream, {})
        schema = quoted(stream.raw_table.partition(".")[0])
        statements = [f"create schema if not exists {schema}", f"create table {target} ({', '.join(columns)})"]
    for statement in statements:
        connection.execute(statement)
    table = _columns(connection, target) if statements else table
    _fit_view(connection, stream, table)
    return table


def _fit_view(connection: duckdb.DuckDBPyConnection, stream: Stream, table: Mapping[str, str]) -> None:
    """Create the view of latest versions, and again when the raw table gets columns: a view keeps those that it had."""
    schema, _, name = stream.latest_view.partition(".")
    view = f"{quoted(schema)}.{quoted(name)}"
    exists = connection.execute(
        "select 1 from duckdb_views() where lower(schema_name) = lower(?) and lower(view_name) = lower(?)",
        [schema, name],
    ).fetchone()
    is_current = exists is not None and list(_columns(connection, view)) == list(table)
    if not is_current and _needed(stream) <= {column.lower() for column in table}:
        connection.execute(f"create or replace view {view} as {DUCKDB.latest(stream)}")


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Return the columns of a table or view that exists, with their types, in their order."""
    return dict(connection.execute("select name, type from pragma_table_info(?) order by cid", [name]).fetchall())


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
