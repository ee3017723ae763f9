"""What the dashboard reads in Snowflake: the tables and views of the schema DASHBOARD.

Marts are cloned after a build whose tests passed: a clone copies no rows, and what is shown does not change while the
next build is under way. What the tables of raw_ext tell of the pipeline are views, which are always as new as those.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.common import report
from adventure.destinations.common.publication import DATA_AS_OF, MARTS, Rows, description_rows
from adventure.destinations.common.records import Query
from adventure.destinations.snowflake.versions import lateness

_BATCH = 500
"""Rows bound in one statement."""


def publish(query: Query, *, manifest: Path) -> int:
    """Replaces the copies of the marts; the number of their rows.

    Args:
        manifest: dbt's, which holds the descriptions that the dashboard shows as help.

    Raises:
        WarehouseError: a mart is missing, or Snowflake says no.
    """
    held = _tables(query)
    if missing := [mart for mart in MARTS if ("dbt_prod", mart) not in held]:
        raise WarehouseError(f"There is nothing to publish yet: no {', '.join(missing)}", "Run `adventure build` first")
    descriptions = description_rows(manifest)
    for mart in MARTS:
        # dbt's tables are transient, of which there are only transient clones.
        query(f"create or replace transient table dashboard.{mart} clone dbt_prod.{mart}", ())
    _fill(query, "descriptions", descriptions)
    # Last: whoever sees a new one asks everything anew.
    query(
        "create or replace table dashboard.publication as"
        f" select cast(? as timestamp) as built_at, ({DATA_AS_OF}) as data_as_of",
        [str(utc_now())],
    )
    return sum(_counts(query, [("dashboard", mart) for mart in MARTS]).values())


def publish_report(
    query: Query,
    *,
    streams: Sequence[Stream],
    stage: Stage,
    dbt_target: Path,
    every: float | None,
) -> None:
    """Replaces what the dashboard says of the pipeline.

    Args:
        dbt_target: the folder in which dbt leaves what its last run did.
        every: seconds between two runs of the tasks; None when they are run by hand.

    Raises:
        WarehouseError: Snowflake says no.
    """
    now, held = utc_now(), _tables(query)
    raw = {stream.name: tuple(stream.raw_table.lower().split(".", 1)) for stream in streams}
    counts = _counts(query, [table for table in held if table in raw.values() or table[0] == "dbt_prod"])
    models = [(name, rows) for (schema, name), rows in counts.items() if schema == "dbt_prod"]
    tables = {
        "streams": report.stream_rows(query, stage, streams, lambda stream: counts.get(raw[stream.name])),
        "lateness": report.lateness_rows(streams, partial(lateness, query, since=now - timedelta(hours=report.HOURS))),
        "models": report.model_rows(models),
        **report.failed_rows(dbt_target, lambda relation: _failing_rows(query, held, relation)),
        "report": Rows({"written_at": "timestamp", "every_sec": "double"}, [(now, every)]),
    }
    for name, select in report.recorded(f"dateadd('hour', -{report.HOURS}, sysdate())").items():
        query(f"create or replace view dashboard.{name} as {select}", ())
    for name, rows in tables.items():
        _fill(query, name, rows)


def _tables(query: Query) -> set[tuple[str, ...]]:
    """The tables of the database, by schema and name in lower case."""
    rows = query(
        "select lower(table_schema), lower(table_name) from information_schema.tables where table_type = 'BASE TABLE'",
        (),
    )
    return set(rows)


def _counts(query: Query, tables: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Rows of each: Snowflake keeps count of them, and need not look."""
    counts = [
        f"""select '{schema}', '{name}', count(*) from "{schema.upper()}"."{name.upper()}\""""
        for schema, name in sorted(tables)
    ]
    rows = query(" union all ".join(counts), ()) if counts else []
    return {(schema, name): int(count) for schema, name, count in rows}


def _failing_rows(query: Query, held: set[tuple[str, ...]], relation: str) -> list[str]:
    """Rows of the table in which dbt keeps those that failed a test, as JSON."""
    if tuple(part.strip('"').lower() for part in relation.split(".")[-2:]) not in held:
        return []
    shown = (
        f"select left(to_json(object_construct(*)), {report.LONGEST_TEXT}) from {relation} limit {report.ROWS_SHOWN}"
    )
    return [str(row) for (row,) in query(shown, ())]


def _fill(query: Query, table: str, made: Rows) -> None:
    """Replaces a table at once; one of many rows is filled batch by batch."""
    columns = [f'cast(column{place} as {kind}) as "{name.upper()}"' for place, (name, kind) in _numbered(made.columns)]
    select = f"select {', '.join(columns)} from values"
    first, *more = [made.rows[begin : begin + _BATCH] for begin in range(0, len(made.rows), _BATCH)] or [[]]
    create = f"create or replace table dashboard.{table} as {select}"
    if first:
        query(f"{create} {_marks(made, first)}", _values(first))
    else:
        nothing = [tuple(None for _ in made.columns)]
        query(f"{create} {_marks(made, nothing)} where false", _values(nothing))
    for rows in more:
        query(f"insert into dashboard.{table} {select} {_marks(made, rows)}", _values(rows))


def _numbered(columns: dict[str, str]) -> list[tuple[int, tuple[str, str]]]:
    return list(enumerate(columns.items(), 1))


def _marks(made: Rows, rows: Sequence[Sequence[Any]]) -> str:
    return ", ".join(f"({', '.join('?' * len(made.columns))})" for _ in rows)


def _values(rows: Sequence[Sequence[Any]]) -> list[object]:
    """As they are bound: numbers and truths as such, moments as text."""
    return [
        value if value is None or isinstance(value, int | float | str) else str(value) for row in rows for value in row
    ]
