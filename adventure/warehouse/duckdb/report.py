"""What the pipeline says of itself: the small copy behind the dashboard's Pipeline page.

Unlike the marts' copy it is written after every run of the tasks, whether or not anything was built, so that a
pipeline that stands still shows as such. Moments are written as they are; ages are for the reader to compute.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson

from adventure.stage import Stage
from adventure.stage.manifest import utc_now
from adventure.streams import Stream
from adventure.warehouse.duckdb.columns import quoted
from adventure.warehouse.duckdb.connection import reading
from adventure.warehouse.duckdb.lateness import lateness
from adventure.warehouse.duckdb.publish import MARTS, replacing
from adventure.warehouse.ledger import LATENESS, is_loaded, lateness_bounds
from adventure.warehouse.records import read_ledger

HOURS = 6
"""How far back cycles are shown, and rows that came late."""
ROWS_SHOWN = 100
"""Rejected rows, and rows of each failed test, that are copied; all of them stay in the warehouse."""
_LONGEST_TEXT = 2_000
_FAILED = ("fail", "error", "runtime error", "warn")

_STREAMS = """
create table published.streams (
    position integer, stream varchar, source varchar, source_table varchar, stage varchar, raw_table varchar,
    raw_rows bigint, windows_waiting bigint, files_waiting bigint, rows_waiting bigint, bytes_waiting bigint,
    waiting_since timestamp, damaged varchar
)
"""

_LOADS = """
create table published.loads as
select
    stream,
    max(high) as watermark,
    max(horizon) as horizon,
    max_by(mode, staged_at) as mode,
    coalesce(sum(rows) filter (where kind = 'data'), 0)::bigint as rows_loaded,
    coalesce(sum(rows) filter (where kind = 'rejects'), 0)::bigint as rows_rejected,
    max(loaded_at) as last_loaded_at
from raw_ext.load_history
group by stream
"""

# A run that was skipped because nothing was new says nothing about how the task does; one skipped after a failure does.
_TASKS = """
create table published.tasks as
with runs as (
    select * from raw_ext.task_history
    where not (outcome = 'skipped' and message = 'nothing new')
),

last_runs as (
    select
        task,
        max_by(runs, started_at) as run,
        max(ended_at) filter (where outcome = 'succeeded') as last_success_at
    from runs
    group by task
),

failures as (
    select runs.task, count(*) as failures_in_a_row
    from runs
    inner join last_runs on runs.task = last_runs.task
    where runs.outcome = 'failed' and runs.ended_at > coalesce(last_success_at, '-infinity'::timestamp)
    group by runs.task
)

select
    task,
    run.started_at as started_at,
    run.ended_at as ended_at,
    run.outcome as outcome,
    run.rows as rows,
    run.files as files,
    left(run.message, 2000) as message,
    last_success_at,
    coalesce(failures_in_a_row, 0)::bigint as failures_in_a_row
from last_runs
left join failures using (task)
"""

_CYCLES = """
create table published.cycles as
select
    stream,
    date_trunc('minute', staged_at)::timestamp as minute,
    count(distinct window_id)::bigint as windows,
    coalesce(sum(rows) filter (where kind = 'data'), 0)::bigint as rows,
    coalesce(sum(rows) filter (where kind = 'rejects'), 0)::bigint as rejected
from raw_ext.load_history
where staged_at >= ?
group by all
"""

_REJECTED_REASONS = """
create table published.rejected_reasons as
select
    stream, left(reason, 2000) as reason,
    count(*)::bigint as rows,
    max(_loaded_at) as last_at
from raw_ext.rejected_rows
group by all
"""

_REJECTED_ROWS = """
create table published.rejected_rows as
select
    stream, left(key, 2000) as key, left(reason, 2000) as reason, left(row, 2000) as row,
    _file as file, _loaded_at as loaded_at
from raw_ext.rejected_rows
order by _loaded_at desc, key
limit ?
"""


def publish_report(
    connection: duckdb.DuckDBPyConnection,
    target: Path,
    *,
    streams: Sequence[Stream],
    stage: Stage,
    dbt_target: Path,
    every: float | None,
) -> None:
    """Replaces `target`.

    Args:
        dbt_target: the folder in which dbt leaves what its last run did.
        every: seconds between two runs of the tasks; None when they are run by hand.

    Raises:
        WarehouseError: the file cannot be written.
    """
    now = utc_now()
    with replacing(connection, target):
        connection.execute(
            "create table published.report as select ?::timestamp as written_at, ?::double as every_sec", [now, every]
        )
        _fill(connection, _STREAMS, "streams", [_stream(connection, stage, *each) for each in enumerate(streams)])
        connection.execute(_LOADS)
        connection.execute(_TASKS)
        connection.execute(_CYCLES, [now - timedelta(hours=HOURS)])
        _write_lateness(connection, streams, now - timedelta(hours=HOURS))
        connection.execute(_REJECTED_REASONS)
        connection.execute(_REJECTED_ROWS, [ROWS_SHOWN])
        _write_models(connection)
        _write_tests(connection, dbt_target)


def _stream(connection: duckdb.DuckDBPyConnection, stage: Stage, position: int, stream: Stream) -> tuple[Any, ...]:
    windows = [window for window in stage.windows(stream.stage) if window.stream == stream.name]
    ledger = read_ledger(reading(connection), stream.stage, [window.id for window in windows])
    waiting = [window for window in windows if not is_loaded(window, ledger)]
    damaged = stage.damaged(stream.stage)
    return (
        position,
        stream.name,
        stream.source,
        f"{stream.namespace}.{stream.table}",
        stream.stage,
        stream.raw_table,
        _count(connection, *stream.raw_table.split(".", 1)),
        len(waiting),
        sum(len(window.all_files) for window in waiting),
        sum(window.rows + window.rejected for window in waiting),
        sum(file.bytes for window in waiting for file in window.all_files),
        min((window.staged_at for window in waiting), default=None),
        str(damaged[0]) if damaged else None,
    )


def _count(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> int | None:
    """Rows of a table; None when there is none of that name."""
    known = connection.execute(
        "select 1 from duckdb_tables() where lower(schema_name) = lower(?) and lower(table_name) = lower(?)",
        [schema, table],
    ).fetchone()
    if known is None:
        return None
    found = connection.execute(f"select count(*) from {quoted(schema)}.{quoted(table)}").fetchone()
    return int(found[0]) if found else None


def _write_lateness(connection: duckdb.DuckDBPyConnection, streams: Sequence[Stream], since: datetime) -> None:
    rows = []
    for stream in streams:
        # Keys are compared with each other only: as the raw table writes them is good enough.
        kinds = ["document" if stream.source == "mongo" else "text"] * len(stream.key)
        found = lateness(connection, stream, kinds, lateness_bounds(), since=since)
        rows += [(stream.name, number, label, found.get(number, 0)) for number, label in enumerate(LATENESS)]
    create = "create table published.lateness (stream varchar, number integer, late varchar, rows bigint)"
    _fill(connection, create, "lateness", rows)


def _write_models(connection: duckdb.DuckDBPyConnection) -> None:
    """Rows of what the models made: all tables, and those that the dashboard shows."""
    names = connection.execute("select table_name from duckdb_tables() where schema_name = 'dbt_prod'").fetchall()
    rows = [(name, _count(connection, "dbt_prod", name), name in MARTS) for (name,) in names]
    _fill(connection, "create table published.models (model varchar, rows bigint, shown boolean)", "models", rows)


def _write_tests(connection: duckdb.DuckDBPyConnection, dbt_target: Path) -> None:
    """What failed or warned in dbt's last run, with the rows that it kept; the number of all tests."""
    ran_at, total, failed = _read_results(dbt_target)
    connection.execute(
        "create table published.test_run as select ?::timestamp as ran_at, ?::bigint as tests", [ran_at, total]
    )
    tests = "create table published.tests (test varchar, kind varchar, model varchar, outcome varchar, rows bigint,"
    _fill(connection, f"{tests} message varchar, audit_table varchar)", "tests", [test for test, _ in failed])
    rows = [(test[0], row) for test, relation in failed for row in _failing_rows(connection, relation)]
    _fill(connection, "create table published.failing_rows (test varchar, row varchar)", "failing_rows", rows)


def _read_results(dbt_target: Path) -> tuple[datetime | None, int, list[tuple[tuple[Any, ...], str | None]]]:
    """When dbt ran last, how many tests it ran, and each node that did not do well, with the table of its rows."""
    try:
        results = orjson.loads((dbt_target / "run_results.json").read_bytes())
        nodes = orjson.loads((dbt_target / "manifest.json").read_bytes())["nodes"]
    except FileNotFoundError:
        return None, 0, []
    tests, failed = 0, []
    for result in results["results"]:
        node = nodes.get(result["unique_id"], {})
        kind = node.get("resource_type", result["unique_id"].split(".")[0])
        tests += kind in ("test", "unit_test")
        if result["status"] in _FAILED:
            about = str(node.get("attached_node") or "").split(".")[-1]
            relation = node.get("relation_name") if kind == "test" else None
            message = " ".join(str(result["message"] or "").split())[:_LONGEST_TEXT]
            name = node.get("name", result["unique_id"])
            test = (name, kind, about or name, result["status"], result["failures"], message, relation)
            failed.append((test, relation))
    ran_at = datetime.fromisoformat(results["metadata"]["generated_at"]).replace(tzinfo=None)
    return ran_at, tests, failed


def _failing_rows(connection: duckdb.DuckDBPyConnection, relation: str | None) -> list[str]:
    """Rows of the table in which dbt keeps those that failed a test, as JSON."""
    if relation is None:
        return []
    schema, table = (part.strip('"') for part in relation.split(".")[-2:])
    if _count(connection, schema, table) is None:
        return []
    rows = connection.execute(
        f"select left(to_json(kept)::varchar, ?) from {quoted(schema)}.{quoted(table)} as kept limit ?",
        [_LONGEST_TEXT, ROWS_SHOWN],
    ).fetchall()
    return [str(row) for (row,) in rows]


def _fill(connection: duckdb.DuckDBPyConnection, create: str, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    connection.execute(create)
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        connection.executemany(f"insert into published.{table} values ({marks})", rows)
