"""Read the report that the tasks published. Without pandas or SQL drivers: the caller brings the query."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from adventure.monitoring.health.state import Freshness, Report, StreamState, TaskState, TestState

Query = Callable[[str, Sequence[object]], Any]
"""Runs a statement and returns a pandas frame."""

_STREAMS = """
select
    stream, source, source_table, stage, raw_table, raw_rows, windows_waiting, files_waiting, rows_waiting,
    bytes_waiting, waiting_since, damaged, damaged_remedy, rejected_recently, watermark, horizon, mode,
    coalesce(rows_loaded, 0) as rows_loaded,
    coalesce(rows_rejected, 0) as rows_rejected,
    coalesce(rows_deleted, 0) as rows_deleted,
    last_staged_at,
    last_loaded_at
from streams
left join loads using (stream)
order by position
"""
_TASKS = """
select task, started_at, ended_at, outcome, "ROWS", files, message, last_success_at, failures_in_a_row
from tasks
order by started_at
"""
_TESTS = """
select test, kind, model, outcome, "ROWS", message, audit_table
from tests
order by outcome = 'warn', test
"""
_FRESHNESS = "select source, loaded_at, warn_sec, error_sec from freshness order by source"


def read_report(query: Query) -> Report:
    """Return the published report."""
    [(written_at, interval_sec)] = rows(query("select written_at, every_sec from report", []))
    return Report(
        written_at=written_at,
        interval_sec=interval_sec,
        streams=read_all(StreamState, query(_STREAMS, [])),
        tasks=read_all(TaskState, query(_TASKS, [])),
        tests=read_all(TestState, query(_TESTS, [])),
        freshness=read_all(Freshness, query(_FRESHNESS, [])),
    )


def report_of_rows(run: Callable[[str], list[tuple[Any, ...]]]) -> Report:
    """Return the published report, without pandas, whose import takes a second.

    Args:
        run: runs a statement and returns its rows. The columns of each statement are in the order of the fields.
    """
    [(written_at, interval_sec)] = run("select written_at, every_sec from report")
    return Report(
        written_at=written_at,
        interval_sec=interval_sec,
        streams=tuple(StreamState(*row) for row in run(_STREAMS)),
        tasks=tuple(TaskState(*row) for row in run(_TASKS)),
        tests=tuple(TestState(*row) for row in run(_TESTS)),
        freshness=tuple(Freshness(*row) for row in run(_FRESHNESS)),
    )


T = TypeVar("T")


def read_all(kind: type[T], frame: Any) -> tuple[T, ...]:
    """Return one value of that dataclass for each row; the columns are named like its fields."""
    return tuple(kind(**{str(name): _plain(value) for name, value in row.items()}) for row in frame.to_dict("records"))


def rows(frame: Any) -> list[tuple[Any, ...]]:
    """Return the rows as tuples of plain values."""
    return [tuple(map(_plain, row.values())) for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """Return a frame's value as a plain Python value; missing values are None."""
    if value is None or value != value:  # not a number, or not a time
        return None
    if isinstance(value, datetime) and hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return int(value) if isinstance(value, float) and value.is_integer() else value
