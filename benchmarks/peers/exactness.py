"""Compare every row of a copy with the source, value by value.

Values are equal if they are the same number, time or text, whatever their type in the copy. NULL and empty text are
different values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

from benchmarks.peers.tools import NUMERICS, TABLES, Tool

KEYS = {"orders": "sales_order_id", "order_details": "sales_order_detail_id", "items": "id"}

PROBES = """
update order_details set unit_price = 123456789012345678.123456, carrier_tracking_number = ''
where sales_order_detail_id = (select min(sales_order_detail_id::text)::uuid from order_details);
update order_details set unit_price_discount = 0.000000000012345, carrier_tracking_number = '"NULL",\\N'
where sales_order_detail_id = (select max(sales_order_detail_id::text)::uuid from order_details);
update orders set comment = 'naïve 🚲' || chr(10) || ' two lines '
where sales_order_id = (select min(sales_order_id::text)::uuid from orders);
"""
"""Valid values of numeric and text that some tools change or lose."""


@dataclass(frozen=True)
class Source:
    """The source's rows as text, in a DuckDB file."""

    path: Path
    tables: Sequence[str] = TABLES

    @classmethod
    def read(cls, dsn: str, folder: Path, tables: Sequence[str] = TABLES) -> "Source":
        """Copy the source's rows into a DuckDB file."""
        path = folder / "source.duckdb"
        path.unlink(missing_ok=True)
        with psycopg.connect(dsn) as connection, duckdb.connect(str(path)) as copy:
            for table in tables:
                csv = folder / f"{table}.source.csv"
                with connection.cursor() as cursor, csv.open("wb") as file:
                    statement = f"copy {table} to stdout (format csv, header, force_quote *, null '\\N')"
                    with cursor.copy(statement.encode()) as rows:
                        for row in rows:
                            file.write(row)
                copy.execute(
                    f"create table {table} as from read_csv('{csv}', all_varchar = true, nullstr = '\\N',"
                    " allow_quoted_nulls = false, quote = '\"', escape = '\"')"
                )
                csv.unlink()
        return cls(path, tables)

    def faults(self, tool: Tool, folder: Path) -> list[str]:
        """Return the differences between the copy and the source as text; empty if there are none.

        Args:
            folder: the tool's folder.
        """
        found: list[str] = []
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"attach '{self.path}' as source (read_only)")
            for table in self.tables:
                *before, query = tool.rows(folder, table).split("; ")
                try:
                    for statement in before:
                        connection.execute(statement.replace("attach ", "attach if not exists "))
                    connection.execute(f"create or replace temp view copy as {query}")
                    found += _differences(connection, table)
                except duckdb.Error as error:
                    found.append(f"{table} cannot be read: {str(error).splitlines()[0]}")
        return found


def _differences(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    key = KEYS[table]
    names = [name for (name,) in connection.execute(f"select column_name from (describe source.{table})").fetchall()]
    there = {name for (name,) in connection.execute("select column_name from (describe copy)").fetchall()}
    if lacking := [name for name in names if name not in there]:
        # Some tools leave out columns that contain only NULL.
        rows = connection.execute(f"select {', '.join(f'count({name})' for name in lacking)} from source.{table}")
        counts = rows.fetchone() or ()
        found = [f"{table}.{name} is missing" for name, count in zip(lacking, counts, strict=True) if count]
        names = [name for name in names if name not in lacking]
    else:
        found = []
    same = ", ".join(f"count(*) filter (not {_same(table, name)})" for name in names)
    joined = f"source.{table} as s join copy as c on lower(c.{key}::varchar) = s.{key}"
    result = connection.execute(f"select count(*), {same} from {joined}").fetchone()
    counted = connection.execute(
        f"select (select count(*) from source.{table}), (select count(*) from copy)"
    ).fetchone()
    assert result is not None
    assert counted is not None
    matched, *different = result
    if not matched == counted[0] == counted[1]:
        found.append(f"{table}: {counted[0]:,} rows, {counted[1]:,} in the copy, {matched:,} matched")
    return found + [f"{table}.{name}: {count:,}" for name, count in zip(names, different, strict=True) if count]


def _same(table: str, name: str) -> str:
    here, there = f"s.{name}", f"c.{name}"
    kind = ""
    if name in NUMERICS[table]:
        kind = "decimal(38, 18)"
    elif name.endswith("_date") or name == "last_modified":
        kind = "timestamp"
    elif name in ("changed_at", "is_new"):
        kind = {"changed_at": "timestamptz", "is_new": "boolean"}[name]
    elif name in ("carrier_tracking_number", "comment", "name"):
        return f"({here} is not distinct from {there}::varchar)"
    else:
        return f"(lower({here}) is not distinct from lower({there}::varchar))"
    # Cast through text: a double counts as the number that it prints as.
    return f"(try_cast({here} as {kind}) is not distinct from try_cast({there}::varchar as {kind}))"
