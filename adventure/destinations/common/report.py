"""The published tables behind the dashboard's Pipeline page: the state of each step of the flow.

Times are published as they are; the page computes ages. The SQL runs on both warehouses: "ROWS" is quoted and in upper
case because Snowflake reserves the word; DuckDB ignores the case.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.core.stage import Stage, damaged_windows
from adventure.core.streams import Stream
from adventure.destinations.common.dbt_results import LONGEST_TEXT, declared_freshness, read_results
from adventure.destinations.common.dialect import Dialect
from adventure.destinations.common.lateness import LATENESS, lateness_bounds
from adventure.destinations.common.ledger import is_loaded, read_ledger
from adventure.destinations.common.publication import MARTS, Rows, published_models
from adventure.destinations.common.raw_tables import outstanding_rejects
from adventure.destinations.common.selection import read_selection
from adventure.destinations.warehouse import Execute

HOURS = 6
"""How far back the page shows cycles and late rows."""
REJECTED_WITHIN = timedelta(days=1)
"""Older rejects are no problem any more."""
ROWS_SHOWN = 100
"""How many rejected rows, and rows of each failed test, are published. All of them stay in the warehouse."""

_LOADS = """
select
    stream,
    max(high) as watermark,
    max(horizon) as horizon,
    max_by(mode, staged_at) as mode,
    cast(coalesce(sum(case when kind = 'data' then "ROWS" end), 0) as bigint) as rows_loaded,
    cast(coalesce(sum(case when kind = 'rejects' then "ROWS" end), 0) as bigint) as rows_rejected,
    cast(coalesce(sum(case when kind = 'deletes' then "ROWS" end), 0) as bigint) as rows_deleted,
    max(staged_at) as last_staged_at,
    max(loaded_at) as last_loaded_at
from raw_ext.load_history
group by stream
"""

_LOADED = (
    "watermark", "horizon", "mode", "rows_loaded", "rows_rejected", "rows_deleted", "last_staged_at", "last_loaded_at",
)  # fmt: skip
"""The columns of `_LOADS` after the stream."""

# Ignore runs that were skipped because nothing was new. Runs that were skipped after a failure count.
_TASKS = f"""
with runs as (
    select * from raw_ext.task_history
    where not (outcome = 'skipped' and message = 'nothing new')
),

last_runs as (
    select * from runs
    qualify row_number() over (partition by task order by started_at desc, ended_at desc) = 1
),

successes as (
    select task, max(ended_at) as last_success_at
    from runs
    where outcome = 'succeeded'
    group by task
),

failures as (
    select runs.task, count(*) as failures_in_a_row
    from runs
    left join successes on runs.task = successes.task
    where runs.outcome = 'failed'
        and (successes.last_success_at is null or runs.ended_at > successes.last_success_at)
    group by runs.task
)

select
    last_runs.task,
    last_runs.started_at,
    last_runs.ended_at,
    last_runs.outcome,
    last_runs."ROWS",
    last_runs.files,
    left(last_runs.message, {LONGEST_TEXT}) as message,
    successes.last_success_at,
    cast(coalesce(failures.failures_in_a_row, 0) as bigint) as failures_in_a_row
from last_runs
left join successes on last_runs.task = successes.task
left join failures on last_runs.task = failures.task
"""

_CYCLES = """
select
    stream,
    cast(date_trunc('minute', staged_at) as timestamp) as minute,
    cast(count(distinct window_id) as bigint) as windows,
    cast(coalesce(sum(case when kind = 'data' then "ROWS" end), 0) as bigint) as "ROWS",
    cast(coalesce(sum(case when kind = 'rejects' then "ROWS" end), 0) as bigint) as rejected
from raw_ext.load_history
where staged_at >= {since}
group by stream, date_trunc('minute', staged_at)
"""

_REJECTED_REASONS = f"""
select
    stream,
    left(reason, {LONGEST_TEXT}) as reason,
    cast(count(*) as bigint) as "ROWS",
    max(_loaded_at) as last_at
from raw_ext.rejected_rows
group by stream, left(reason, {LONGEST_TEXT})
"""

_REJECTED_ROWS = f"""
select
    stream,
    left(key, {LONGEST_TEXT}) as key,
    left(reason, {LONGEST_TEXT}) as reason,
    left("ROW", {LONGEST_TEXT}) as "ROW",
    _file as file,
    _loaded_at as loaded_at
from raw_ext.rejected_rows
order by _loaded_at desc, key
limit {ROWS_SHOWN}
"""


def queries(since: str) -> dict[str, str]:
    """Return the queries of the published tables that come from tables of raw_ext, by name.

    Args:
        since: SQL of the time from which cycles are shown.
    """
    return {
        "loads": _LOADS,
        "tasks": _TASKS,
        "cycles": _CYCLES.format(since=since),
        "rejected_reasons": _REJECTED_REASONS,
        "rejected_rows": _REJECTED_ROWS,
    }


def stream_rows(
    execute: Execute,
    dialect: Dialect,
    stage: Stage,
    streams: Sequence[Stream],
    count: Callable[[Stream], int | None],
) -> Rows:
    """Return the table of the streams and of the windows that wait in their stages.

    Args:
        count: returns the number of rows in a stream's raw table; None where there is no raw table.
    """
    since = utc_now() - REJECTED_WITHIN
    columns = {
        "position": "integer", "stream": "varchar", "source": "varchar", "source_table": "varchar", "stage": "varchar",
        "raw_table": "varchar", "raw_rows": "bigint", "windows_waiting": "bigint", "files_waiting": "bigint",
        "rows_waiting": "bigint", "bytes_waiting": "bigint", "waiting_since": "timestamp", "damaged": "varchar",
        "damaged_remedy": "varchar", "rejected_recently": "bigint",
    }  # fmt: skip
    rows = [
        (*_stream(execute, stage, count, *each), outstanding_rejects(execute, dialect, each[1], since))
        for each in enumerate(streams)
    ]
    return Rows(columns, rows)


def _stream(
    execute: Execute, stage: Stage, count: Callable[[Stream], int | None], position: int, stream: Stream
) -> tuple[Any, ...]:
    windows = [window for window in stage.windows(stream.stage) if window.stream == stream.name]
    ledger = read_ledger(execute, stream.stage, [window.id for window in windows])
    waiting = [window for window in windows if not is_loaded(window, ledger)]
    damaged = damaged_windows(stage, stream)
    return (
        position,
        stream.name,
        stream.source,
        f"{stream.namespace}.{stream.table}",
        stream.stage,
        stream.raw_table,
        count(stream),
        len(waiting),
        sum(len(window.all_files) for window in waiting),
        sum(window.rows + window.rejected for window in waiting),
        sum(file.bytes for window in waiting for file in window.all_files),
        min((window.staged_at for window in waiting), default=None),
        damaged[0].problem if damaged else None,
        damaged[0].remedy if damaged else None,
    )


def stream_states(execute: Execute, dialect: Dialect, stage: Stage, streams: Sequence[Stream]) -> list[dict[str, Any]]:
    """Return what the published tables `streams` and `loads` say of each stream, read now; no rows are counted."""
    table = stream_rows(execute, dialect, stage, streams, lambda _: None)
    loads = {row[0]: dict(zip(_LOADED, row[1:], strict=True)) for row in execute(_LOADS, ())}
    nothing = dict.fromkeys(_LOADED) | {"rows_loaded": 0, "rows_rejected": 0, "rows_deleted": 0}
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [
        {name: value for name, value in each.items() if name != "position"} | loads.get(each["stream"], nothing)
        for each in found
    ]


def task_states(execute: Execute) -> list[tuple[Any, ...]]:
    """Return the rows of the published table `tasks`, read now."""
    return sorted(execute(_TASKS, ()), key=lambda row: row[1])


def lateness_rows(
    streams: Sequence[Stream], lateness: Callable[[Stream, Sequence[str], Sequence[int]], dict[int, int]]
) -> Rows:
    """Return the table of late rows, with one row for each stream and class of lateness."""
    rows = []
    for stream in streams:
        # Keys are compared only with each other, so their text in the raw table is enough.
        kinds = ["document" if stream.documents else "plain"] * len(stream.key)
        found = lateness(stream, kinds, lateness_bounds())
        rows += [(stream.name, number, label, found.get(number, 0)) for number, label in enumerate(LATENESS)]
    return Rows({"stream": "varchar", "number": "integer", "late": "varchar", "ROWS": "bigint"}, rows)


def model_rows(counts: Iterable[tuple[str, int]], dbt_target: Path) -> Rows:
    """Return the table of the row counts of the built models, with a mark on those that the dashboard shows."""
    try:
        shown = published_models(dbt_target)
    except WarehouseError:
        # Nothing was built from this machine yet.
        shown = list(MARTS)
    selection = read_selection(dbt_target)
    left_out = selection.left_out if selection else {}
    rows = [(name, rows, name in shown) for name, rows in counts if name not in left_out]
    return Rows({"model": "varchar", "ROWS": "bigint", "shown": "boolean"}, rows)


def failed_rows(dbt_target: Path, failing: Callable[[str], list[str]]) -> dict[str, Rows]:
    """Return the tables of dbt's last run: its time and number of tests, its failures and warnings, and their rows.

    Args:
        dbt_target: dbt's target folder, with the results of its last run.
        failing: returns rows of the table in which dbt keeps the rows that failed a test, as JSON.
    """
    results = read_results(dbt_target)
    columns = ("test", "kind", "model", "outcome", "ROWS", "message", "audit_table")
    kept = [(test[0], row) for test in results.failed if test[-1] for row in failing(test[-1])]
    return {
        "test_run": Rows({"ran_at": "timestamp", "tests": "bigint"}, [(results.ran_at, results.tests)]),
        "tests": Rows({name: "bigint" if name == "ROWS" else "varchar" for name in columns}, results.failed),
        "failing_rows": Rows({"test": "varchar", "ROW": "varchar"}, kept),
    }


def freshness_rows(execute: Execute, dbt_target: Path) -> Rows:
    """Return when the newest row of each source that declares a freshness was loaded."""
    columns = {"source": "varchar", "loaded_at": "timestamp", "warn_sec": "double", "error_sec": "double"}
    known = set(execute("select lower(table_schema), lower(table_name) from information_schema.tables", ()))
    selection = read_selection(dbt_target)
    missing = selection.missing if selection else ()
    rows = []
    for schema, table, column, warn_sec, error_sec in declared_freshness(dbt_target):
        if (schema.lower(), table.lower()) in known and f"{schema}.{table}".lower() not in missing:
            [(loaded_at,)] = execute(f"select max({column}) from {schema}.{table}", ())
            rows.append((table.lower(), loaded_at, warn_sec, error_sec))
    return Rows(columns, rows)
