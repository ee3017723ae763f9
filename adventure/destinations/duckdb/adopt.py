"""Take over a raw table that another load script filled: copy its rows into a raw table in Adventure's form."""

import duckdb

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError
from adventure.core.sql_text import literal, quoted
from adventure.core.streams import Stream
from adventure.destinations.common.dialect import columns_of
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.duckdb.columns import META_COLUMNS
from adventure.destinations.duckdb.connection import executing

RENAMED = "_before_adventure"
"""Appended to the name of a table that stands where the raw table has to be."""

_TEXT = ("VARCHAR", "JSON")


def adopt(connection: duckdb.DuckDBPyConnection, stream: Stream, table: str | None, shipped_tables: str) -> int:
    """Copy another table's rows into the stream's raw table in one transaction, and return their number.

    Columns are matched by name and converted exactly; a column that the raw table lacks is added. The other table keeps
    all its rows.

    Args:
        table: the other table as `schema.table`; None for the raw table itself, which is renamed first.
        shipped_tables: the statements that create the raw tables of the shipped streams where they are missing.

    Raises:
        ConfigError: there is nothing to take over, or it was taken over before.
        duckdb.Error: a value fits no column of the raw table. Nothing is changed.
    """
    connection.execute("begin transaction")
    try:
        source = _given(connection, table) if table else _renamed(connection, stream)
        connection.execute(shipped_tables)
        rows = _copy(connection, stream, source)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return rows


def _given(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    source = ".".join(quoted(part) for part in table.split("."))
    try:
        connection.execute(f"from {source} limit 0")
    except duckdb.CatalogException as error:
        raise ConfigError(f"The warehouse has no table {table}", "Give --from a name such as raw.orders") from error
    return source


def _renamed(connection: duckdb.DuckDBPyConnection, stream: Stream) -> str:
    columns = {name.lower() for name in columns_of(executing(connection), stream)}
    if not columns:
        raise ConfigError(f"{stream.name}: there is no table {stream.raw_table}", "Name the table with --from")
    if "_file" in columns:
        raise ConfigError(
            f"{stream.name}: {stream.raw_table} already has the form of a raw table",
            "Nothing is to do; to copy another table's rows into it, name that table with --from",
        )
    schema, _, name = stream.raw_table.partition(".")
    connection.execute(f"alter table {DUCKDB.raw_table(stream)} rename to {quoted(name + RENAMED)}")
    return f"{quoted(schema)}.{quoted(name + RENAMED)}"


def _copy(connection: duckdb.DuckDBPyConnection, stream: Stream, source: str) -> int:
    target, label = DUCKDB.raw_table(stream), f"adopted/{source}"
    theirs = _columns(connection, source)
    if not columns_of(executing(connection), stream):
        connection.execute(f"create schema if not exists {quoted(stream.raw_table.partition('.')[0])}")
        meta = ", ".join(f"{name} {kind}" for name, kind in META_COLUMNS.items())
        connection.execute(f"create table {target} ({meta})")
    ours = {name.lower(): kind for name, kind in columns_of(executing(connection), stream).items()}
    for name, kind in theirs.items():
        if name.lower() not in ours:
            connection.execute(f"alter table {target} add column {quoted(name)} {kind}")
            ours[name.lower()] = kind
    found = connection.execute(f"select count(*) from {target} where _file = ?", [label]).fetchone()
    if found and found[0]:
        raise ConfigError(
            f"{stream.name}: {found[0]:,} rows of {source} were taken over before",
            f"Nothing is to do; to repeat it, run: delete from {stream.raw_table} where _file = {literal(label)}",
        )
    names = ", ".join(map(quoted, theirs))
    values = ", ".join(_converted(name, kind, ours[name.lower()]) for name, kind in theirs.items())
    # The stamp is later than that of every load, so that the next build finds the rows.
    stamp = "select greatest(?::timestamp, max(loaded_at) + interval 1 microsecond) from raw_ext.load_history"
    inserted = connection.execute(
        f"insert into {target} ({names}, _file, _file_row, _loaded_at)"
        f" select {values}, ?, row_number() over () - 1, ({stamp}) from {source}",
        [label, utc_now()],
    ).fetchone()
    return int(inserted[0]) if inserted else 0


def _columns(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    """Return a table's columns with their types, without those that a raw table has besides its source's."""
    described = connection.execute(f"describe {source}").fetchall()
    return {row[0]: row[1] for row in described if row[0].lower() not in META_COLUMNS}


def _converted(name: str, kind: str, target: str) -> str:
    """Return a column in the raw table's type. The text NaN, which stands for a missing value, is no number."""
    column = quoted(name)
    if kind == "VARCHAR" and target not in _TEXT:
        column = f"nullif(nullif({column}, 'NaN'), 'nan')"
    return column if kind == target else f"cast({column} as {target})"
