"""The published tables behind the dashboard's Pipeline page: the state of each step of the flow.

Times are published as they are; the page computes ages. The SQL runs on both warehouses: "ROWS" is quoted and in upper
case because Snowflake reserves the word; DuckDB ignores the case.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from adventure.core.stage import Stage, damaged_windows
from adventure.core.streams import Stream
from adventure.destinations.common.lateness import LATENESS, lateness_bounds
from adventure.destinations.common.ledger import is_loaded, read_ledger
from adventure.destinations.common.publication import MARTS, Rows
from adventure.destinations.warehouse import Execute

HOURS = 6
"""How far back the page shows cycles and late rows."""
ROWS_SHOWN = 100
"""How many rejected rows, and rows of each failed test, are published. All of them stay in the warehouse."""
LONGEST_TEXT = 2_000
_FAILED = ("fail", "error", "runtime error", "warn")

_LOADS = """
select
    stream,
    max(high) as watermark,
    max(horizon) as horizon,
    max_by(mode, staged_at) as mode,
    cast(coalesce(sum(case when kind = 'data' then "ROWS" end), 0) as bigint) as rows_loaded,
    cast(coalesce(sum(case when kind = 'rejects' then "ROWS" end), 0) as bigint) as rows_rejected,
    max(loaded_at) as last_loaded_at
from raw_ext.load_history
group by stream
"""

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
    execute: Execute, stage: Stage, streams: Sequence[Stream], count: Callable[[Stream], int | None]
) -> Rows:
    """Return the table of the streams and of the windows that wait in their stages.

    Args:
        count: returns the number of rows in a stream's raw table; None where there is no raw table.
    """
    columns = {
        "position": "integer", "stream": "varchar", "source": "varchar", "source_table": "varchar", "stage": "varchar",
        "raw_table": "varchar", "raw_rows": "bigint", "windows_waiting": "bigint", "files_waiting": "bigint",
        "rows_waiting": "bigint", "bytes_waiting": "bigint", "waiting_since": "timestamp", "damaged": "varchar",
    }  # fmt: skip
    return Rows(columns, [_stream(execute, stage, count, *each) for each in enumerate(streams)])


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
        str(damaged[0]) if damaged else None,
    )


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


def model_rows(counts: Iterable[tuple[str, int]]) -> Rows:
    """Return the table of the models' row counts, with a mark on those that the dashboard shows."""
    rows = [(name, rows, name in MARTS) for name, rows in counts]
    return Rows({"model": "varchar", "ROWS": "bigint", "shown": "boolean"}, rows)


def failed_rows(dbt_target: Path, failing: Callable[[str], list[str]]) -> dict[str, Rows]:
    """Return the tables of dbt's last run: its time and number of tests, its failures and warnings, and their rows.

    Args:
        dbt_target: dbt's target folder, with the results of its last run.
        failing: returns rows of the table in which dbt keeps the rows that failed a test, as JSON.
    """
    ran_at, total, tests = _read_results(dbt_target)
    columns = ("test", "kind", "model", "outcome", "ROWS", "message", "audit_table")
    kept = [(test[0], row) for test in tests if test[-1] for row in failing(test[-1])]
    return {
        "test_run": Rows({"ran_at": "timestamp", "tests": "bigint"}, [(ran_at, total)]),
        "tests": Rows({name: "bigint" if name == "ROWS" else "varchar" for name in columns}, tests),
        "failing_rows": Rows({"test": "varchar", "ROW": "varchar"}, kept),
    }


def _read_results(dbt_target: Path) -> tuple[datetime | None, int, list[tuple[Any, ...]]]:
    """Return when dbt last ran, how many tests it ran, and each failure or warning with the table of its rows last."""
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
            message = " ".join(str(result["message"] or "").split())[:LONGEST_TEXT]
            name = node.get("name", result["unique_id"])
            failed.append((name, kind, about or name, result["status"], result["failures"], message, relation))
    ran_at = datetime.fromisoformat(results["metadata"]["generated_at"]).replace(tzinfo=None)
    return ran_at, tests, failed
