"""Publishes the state of the pipeline for the dashboard's Pipeline page, as one DuckDB file.

The file is replaced after every run of the tasks, whether or not anything was built: the page shows by its age that the
tasks have stopped.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import duckdb

from adventure.core.clock import utc_now
from adventure.core.sql_text import literal, quoted
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.common import report
from adventure.destinations.common.dbt_results import LONGEST_TEXT
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.common.lateness import lateness
from adventure.destinations.common.publication import Rows
from adventure.destinations.duckdb.connection import executing
from adventure.destinations.duckdb.publish import fill, replacing


def publish_report(
    connection: duckdb.DuckDBPyConnection,
    target: Path,
    *,
    streams: Sequence[Stream],
    stage: Stage,
    dbt_target: Path,
    interval: float | None,
) -> None:
    """Replace the file `target`.

    Args:
        dbt_target: dbt's target folder, with the results of its last run.
        interval: seconds between two runs of the tasks; None when they are run by hand.

    Raises:
        WarehouseError: the file cannot be written.
    """
    now = utc_now()
    since = now - timedelta(hours=report.HOURS)
    count, execute = partial(_count, connection), executing(connection)
    tables = {
        "report": Rows({"written_at": "timestamp", "every_sec": "double"}, [(now, interval)]),
        "streams": report.stream_rows(
            execute, DUCKDB, stage, streams, lambda stream: count(*stream.raw_table.split(".", 1))
        ),
        "lateness": report.lateness_rows(streams, partial(lateness, execute, DUCKDB, since=since)),
        "models": report.model_rows(_models(connection), dbt_target),
        "freshness": report.freshness_rows(execute, dbt_target),
        **report.failed_rows(dbt_target, partial(_failing_rows, connection)),
    }
    with replacing(connection, target, block_size=16_384):
        for name, statement in report.queries(f"timestamp '{since}'").items():
            connection.execute(f"create table published.{name} as {statement}")
        for name, rows in tables.items():
            fill(connection, name, rows)


def _count(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> int | None:
    """Return the number of rows of a table; None if it does not exist."""
    known = connection.execute(
        "select 1 from duckdb_tables() where lower(schema_name) = lower(?) and lower(table_name) = lower(?)",
        [schema, table],
    ).fetchone()
    if known is None:
        return None
    found = connection.execute(f"select count(*) from {quoted(schema, table)}").fetchone()
    return int(found[0]) if found else None


def _models(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    names = connection.execute("select table_name from duckdb_tables() where schema_name = 'dbt_prod'").fetchall()
    # One statement: looking each table up takes longer than counting it.
    counts = [f"select {literal(name)}, count(*) from {quoted('dbt_prod', name)}" for (name,) in names]
    return connection.execute(" union all ".join(counts)).fetchall() if counts else []


def _failing_rows(connection: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    """Return rows of the table in which dbt keeps the rows that failed a test, as JSON."""
    schema, table = (part.strip('"') for part in relation.split(".")[-2:])
    if _count(connection, schema, table) is None:
        return []
    rows = connection.execute(
        f"select left(to_json(kept)::varchar, ?) from {quoted(schema, table)} as kept limit ?",
        [LONGEST_TEXT, report.ROWS_SHOWN],
    ).fetchall()
    return [str(row) for (row,) in rows]
