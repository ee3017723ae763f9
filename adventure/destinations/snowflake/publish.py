"""Publishes the tables and views of the schema DASHBOARD, which the dashboard reads.

The marts are cloned after a successful build: a clone copies no rows, and does not change during the next build. The
parts of the report that come from tables of raw_ext are views, so they are always current.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.core.sql_text import quoted
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.common import report
from adventure.destinations.common.dbt_results import LONGEST_TEXT
from adventure.destinations.common.lateness import lateness
from adventure.destinations.common.publication import DATA_AS_OF, Rows, described_rows, published_models
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.warehouse import Execute

_BATCH = 500
"""Rows that one statement binds."""


def publish(execute: Execute, *, dbt_target: Path) -> int:
    """Replace the clones of the published models and return the number of their rows.

    Args:
        dbt_target: dbt's target folder. The dashboard shows the descriptions in its manifest as help.

    Raises:
        WarehouseError: a model is missing, or is a view, or Snowflake refuses.
    """
    held, models = _tables(execute), published_models(dbt_target)
    if missing := [model for model in models if ("dbt_prod", model) not in held]:
        raise WarehouseError(f"There is nothing to publish yet: no {', '.join(missing)}", "Run `adventure build` first")
    described = described_rows(dbt_target)
    for model in models:
        # dbt's tables are transient, and a transient table has transient clones only.
        execute(f"create or replace transient table dashboard.{model} clone dbt_prod.{model}", ())
    for table, made in described.items():
        _fill(execute, table, made)
    # Last: a dashboard that sees a new publication runs all of its queries again.
    execute(
        "create or replace table dashboard.publication as"
        f" select cast(? as timestamp) as built_at, ({DATA_AS_OF}) as data_as_of",
        [str(utc_now())],
    )
    return sum(_counts(execute, [("dashboard", model) for model in models]).values())


def publish_report(
    execute: Execute,
    *,
    streams: Sequence[Stream],
    stage: Stage,
    dbt_target: Path,
    interval: float | None,
) -> None:
    """Replace the published state of the pipeline.

    Args:
        dbt_target: dbt's target folder, with the results of its last run.
        interval: seconds between two runs of the tasks; None when they are run by hand.

    Raises:
        WarehouseError: Snowflake refuses.
    """
    now, held = utc_now(), _tables(execute)
    since = now - timedelta(hours=report.HOURS)
    raw = {stream.name: tuple(stream.raw_table.lower().split(".", 1)) for stream in streams}
    counts = _counts(execute, [table for table in held if table in raw.values() or table[0] == "dbt_prod"])
    models = [(name, rows) for (schema, name), rows in counts.items() if schema == "dbt_prod"]
    tables = {
        "streams": report.stream_rows(execute, SNOWFLAKE, stage, streams, lambda stream: counts.get(raw[stream.name])),
        "lateness": report.lateness_rows(streams, partial(lateness, execute, SNOWFLAKE, since=since)),
        "models": report.model_rows(models, dbt_target),
        "freshness": report.freshness_rows(execute, dbt_target),
        **report.failed_rows(dbt_target, lambda relation: _failing_rows(execute, held, relation)),
        "report": Rows({"written_at": "timestamp", "every_sec": "double"}, [(now, interval)]),
    }
    for name, select in report.queries(f"dateadd('hour', -{report.HOURS}, sysdate())").items():
        execute(f"create or replace view dashboard.{name} as {select}", ())
    for name, rows in tables.items():
        _fill(execute, name, rows)


def _tables(execute: Execute) -> set[tuple[str, ...]]:
    """Return the database's tables as pairs of schema and name in lower case."""
    rows = execute(
        "select lower(table_schema), lower(table_name) from information_schema.tables where table_type = 'BASE TABLE'",
        (),
    )
    return set(rows)


def _counts(execute: Execute, tables: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return the number of rows of each table. Snowflake answers from metadata."""
    counts = [
        f"select {SNOWFLAKE.literal(schema)}, {SNOWFLAKE.literal(name)}, count(*)"
        f" from {quoted(schema.upper(), name.upper())}"
        for schema, name in sorted(tables)
    ]
    rows = execute(" union all ".join(counts), ()) if counts else []
    return {(schema, name): int(count) for schema, name, count in rows}


def _failing_rows(execute: Execute, held: set[tuple[str, ...]], relation: str) -> list[str]:
    """Return rows of the table in which dbt keeps the rows that failed a test, as JSON."""
    if tuple(part.strip('"').lower() for part in relation.split(".")[-2:]) not in held:
        return []
    shown = f"select left(to_json(object_construct(*)), {LONGEST_TEXT}) from {relation} limit {report.ROWS_SHOWN}"
    return [str(row) for (row,) in execute(shown, ())]


def _fill(execute: Execute, table: str, made: Rows) -> None:
    """Replace a table. Rows after the first batch are inserted batch by batch."""
    columns = [
        f"cast(column{place} as {kind}) as {quoted(name.upper())}" for place, (name, kind) in _numbered(made.columns)
    ]
    select = f"select {', '.join(columns)} from values"
    first, *more = [made.rows[begin : begin + _BATCH] for begin in range(0, len(made.rows), _BATCH)] or [[]]
    create = f"create or replace table dashboard.{table} as {select}"
    if first:
        execute(f"{create} {_marks(made, first)}", _values(first))
    else:
        nothing = [tuple(None for _ in made.columns)]
        execute(f"{create} {_marks(made, nothing)} where false", _values(nothing))
    for rows in more:
        execute(f"insert into dashboard.{table} {select} {_marks(made, rows)}", _values(rows))


def _numbered(columns: dict[str, str]) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(columns.items(), 1))


def _marks(made: Rows, rows: Sequence[Sequence[Any]]) -> str:
    return ", ".join(f"({', '.join('?' * len(made.columns))})" for _ in rows)


def _values(rows: Sequence[Sequence[Any]]) -> list[object]:
    """Return the values to bind: numbers and booleans as they are, timestamps as text."""
    return [
        value if value is None or isinstance(value, int | float | str) else str(value) for row in rows for value in row
    ]
