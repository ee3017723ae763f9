"""What the tables of raw_ext record: the ledger and the runs of the tasks, in SQL that every warehouse shares.

Functions over a query. "ROWS" is quoted and in upper case because Snowflake reserves the word; DuckDB does not mind.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.manifest import MANIFEST, Window
from adventure.core.streams import Stream
from adventure.destinations.common.ledger import Ledger, is_loaded
from adventure.destinations.warehouse import RUNS_KEPT, RemovedWindow, StreamTotals, TaskRun

Query = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a statement with values for its question marks; its rows."""


def read_ledger(query: Query, stage: str, window_ids: Sequence[str]) -> Ledger:
    """Rows loaded, by window and file, of these windows."""
    wanted = set(window_ids)
    if not wanted:
        return {}
    rows = query(
        'select window_id, file, "ROWS" from raw_ext.load_history where stage = ? and window_id between ? and ?',
        [stage, min(wanted), max(wanted)],
    )
    return {(window_id, file): int(count) for window_id, file, count in rows if window_id in wanted}


def loaded(query: Query, windows: Iterable[Window]) -> set[str]:
    """The ids of those windows that are loaded whole."""
    by_stage: dict[str, list[Window]] = {}
    for window in windows:
        by_stage.setdefault(window.stage, []).append(window)
    found: set[str] = set()
    for stage, those in by_stage.items():
        ledger = read_ledger(query, stage, [window.id for window in those])
        found |= {window.id for window in those if is_loaded(window, ledger)}
    return found


def loaded_spans(query: Query) -> dict[str, list[tuple[datetime | None, datetime]]]:
    """Return which spans of the cursor the ledger holds, by stream: windows that follow one another are one span."""
    rows = query(
        """
        with windows as (
            select distinct stream, low, high from raw_ext.load_history
        ),
        reached as (
            select
                stream, low, high,
                max(high) over (
                    partition by stream order by low nulls first, high
                    rows between unbounded preceding and current row
                ) as so_far
            from windows
        ),
        starts as (
            select
                stream, low, high,
                case
                    when low <= lag(so_far) over (partition by stream order by low nulls first, high) then 0 else 1
                end as is_start
            from reached
        ),
        spans as (
            select
                stream, low, high,
                sum(is_start) over (
                    partition by stream order by low nulls first, high
                    rows between unbounded preceding and current row
                ) as span
            from starts
        )
        select stream, case when count(low) = count(*) then min(low) end as low, max(high) as high
        from spans
        group by stream, span
        """,
        [],
    )
    found: dict[str, list[tuple[datetime | None, datetime]]] = {}
    for stream, low, high in rows:
        found.setdefault(stream, []).append((low, high))
    return found


def loaded_window_ids(query: Query, ids: Iterable[str]) -> set[str]:
    """Return those of these windows of which the ledger holds a file."""
    wanted = list(ids)
    if not wanted:
        return set()
    marks = ", ".join("?" for _ in wanted)
    rows = query(f"select distinct window_id from raw_ext.load_history where window_id in ({marks})", wanted)
    return {row[0] for row in rows}


def totals(query: Query, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
    """What the ledger says, by stream."""
    rows = query(
        """
        select
            stream,
            sum(case when kind = 'data' then "ROWS" else 0 end) as loaded,
            sum(case when kind = 'rejects' then "ROWS" else 0 end) as rejected,
            sum(case when kind = 'deletes' then "ROWS" else 0 end) as deleted,
            max(loaded_at) as last_loaded_at
        from raw_ext.load_history
        group by stream
        """,
        [],
    )
    found = {name: StreamTotals(int(held), int(rejected), int(gone), at) for name, held, rejected, gone, at in rows}
    return {stream.name: found.get(stream.name, StreamTotals()) for stream in streams}


def record(query: Query, run: TaskRun) -> None:
    """Adds a run to the history of the tasks, and drops what is older than RUNS_KEPT runs of its kind."""
    query(
        "insert into raw_ext.task_history"
        " select ?, cast(? as timestamp), cast(? as timestamp), ?, cast(? as bigint), cast(? as bigint), ?",
        [run.name, str(run.started_at), str(run.ended_at), run.outcome, run.rows, run.files, run.message],
    )
    # By outcome, so that failures of days do not drop the last success, on which it depends what is due.
    query(
        f"""
        delete from raw_ext.task_history where task = ? and outcome = ? and started_at < (
            select min(started_at) from (
                select started_at from raw_ext.task_history where task = ? and outcome = ?
                order by started_at desc limit {RUNS_KEPT}
            ) as kept
        )
        """,
        [run.name, run.outcome, run.name, run.outcome],
    )


def record_removal(query: Query, window: RemovedWindow) -> None:
    """Add a window to the ledger without rows: the span of its cursor is accounted for."""
    now, high = str(utc_now()), str(window.high)
    low, moment = str(window.low) if window.low else None, "cast(? as timestamp)"
    query(
        "insert into raw_ext.load_history select"
        f" ?, ?, ?, ?, 'removed', 0, 0, '', {moment}, {moment}, {moment}, 'removed', ?, {moment}, {moment}",
        [window.stream, window.stage, window.id, MANIFEST, low, high, high, window.run_id, now, now],
    )


def last_runs(query: Query) -> list[TaskRun]:
    """The last recorded run of each task, in the order in which they ended."""
    rows = query(
        """
        select task, started_at, ended_at, outcome, "ROWS", files, message from raw_ext.task_history
        qualify row_number() over (partition by task order by started_at desc, ended_at desc) = 1
        order by ended_at
        """,
        [],
    )
    return [
        TaskRun(task, begun, ended, outcome, int(moved), int(files), message)
        for task, begun, ended, outcome, moved, files, message in rows
    ]


def build_is_due(query: Query) -> bool:
    """Whether sales or a history were loaded, or a day has begun, since the last build that succeeded."""
    ((built_at, sold_at, history_at),) = query(
        """
        select
            (
                select max(started_at) from raw_ext.task_history where task = 'build' and outcome = 'succeeded'
            ) as built_at,
            (select max(loaded_at) from raw_ext.load_history) as sold_at,
            (select max(loaded_at) from raw_ext.last_history) as history_at
        """,
        [],
    )
    if built_at is None or built_at.date() != utc_now().date():
        return True
    times: list[datetime] = [moment for moment in (sold_at, history_at) if moment is not None]
    return bool(times) and max(times) >= built_at


def publish_is_due(query: Query) -> bool:
    """Whether a build has succeeded since the last publish that succeeded began."""
    ((built_at, published_at),) = query(
        """
        select
            max(case when task = 'build' then ended_at end) as built_at,
            max(case when task = 'publish' then started_at end) as published_at
        from raw_ext.task_history
        where outcome = 'succeeded'
        """,
        [],
    )
    return built_at is not None and (published_at is None or built_at > published_at)


def failures_in_a_row(query: Query) -> dict[str, tuple[int, str]]:
    """By task that failed since it last succeeded: how often, and the last message."""
    rows = query(
        """
        with succeeded as (
            select task, max(started_at) as at from raw_ext.task_history where outcome = 'succeeded' group by task
        )
        select runs.task, count(*) as times, max_by(runs.message, runs.started_at) as message
        from raw_ext.task_history as runs
        left join succeeded on succeeded.task = runs.task
        where runs.outcome = 'failed' and (succeeded.at is null or runs.started_at > succeeded.at)
        group by runs.task
        order by runs.task
        """,
        [],
    )
    return {task: (int(times), message) for task, times, message in rows}


def outstanding_rejects(query: Query, stream: Stream, table: str, keys: tuple[str, str], since: datetime) -> int:
    """Return how many keys were rejected since then and have no row that was loaded later.

    Args:
        table: the raw table's name as SQL; empty where there is none.
        keys: SQL of the key in the raw table and in `raw_ext.rejected_rows`, as text that is the same.
    """
    raw_key, rejected_key = keys
    later = f"""
        and not exists (
            select 1 from {table} as raw_rows
            where {raw_key} = {rejected_key} and raw_rows._loaded_at > rejects._loaded_at
        )
    """
    rows = query(
        f"""
        select count(distinct rejects.key) from raw_ext.rejected_rows as rejects
        where rejects.stream = ? and rejects._loaded_at >= cast(? as timestamp) {later if table else ""}
        """,
        [stream.name, str(since)],
    )
    return int(rows[0][0])


def living_keys(query: Query, table: str, keys: str, cursor: str) -> int:
    """How many keys a raw table holds that are not gone: one is whose latest row says so, as in the base models.

    Args:
        table: quoted, with its schema.
        keys, cursor: the expressions that read them, the cursor as naive UTC.
    """
    statement = f"""
        select count(*) from (
            select _deleted_at from {table}
            qualify row_number() over (
                partition by {keys}
                order by coalesce(_deleted_at, {cursor}) desc nulls last, _loaded_at desc, _deleted_at desc nulls last
            ) = 1
        ) as latest
        where _deleted_at is null
    """
    return int(query(statement, ())[0][0])
