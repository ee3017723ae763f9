"""Query the pipeline's state from its report. This module must not import Streamlit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pandas as pd

from adventure.destinations.published import Query


@dataclass(frozen=True)
class StreamState:
    """The state of one stream, from its source to its raw table. Times are naive UTC."""

    stream: str
    source: str
    source_table: str
    stage: str
    raw_table: str
    raw_rows: int | None
    windows_waiting: int
    files_waiting: int
    rows_waiting: int
    bytes_waiting: int
    waiting_since: datetime | None
    damaged: str | None
    """Why a window cannot be read; None if all can."""
    watermark: datetime | None
    """The watermark of the loaded data; None before the first load."""
    horizon: datetime | None
    mode: str | None
    rows_loaded: int
    rows_rejected: int
    last_loaded_at: datetime | None


@dataclass(frozen=True)
class TaskState:
    """The last run of a task that had work to do."""

    task: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    rows: int
    files: int
    message: str
    last_success_at: datetime | None
    failures_in_a_row: int

    @property
    def seconds(self) -> float:
        """Return how long the run took."""
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class ModelRows:
    """The row count of a table built by dbt."""

    model: str
    rows: int
    shown: bool
    """Whether the dashboard shows it."""


@dataclass(frozen=True)
class TestState:
    """A test or model that failed or warned in dbt's last run."""

    __test__ = False  # not one of pytest's

    test: str
    kind: str
    model: str
    outcome: str
    rows: int | None
    message: str
    audit_table: str | None
    """The table with all failing rows."""


@dataclass(frozen=True)
class Rejected:
    """Rows of a stream that were rejected for one reason."""

    stream: str
    reason: str
    rows: int
    last_at: datetime


@dataclass(frozen=True)
class State:
    """The pipeline's state: everything that the verdict and the flow diagram show."""

    written_at: datetime
    """The report is written after each run of the tasks."""
    interval_sec: float | None
    """Seconds between two runs of the tasks; None when the last one was run by hand."""
    streams: tuple[StreamState, ...]
    tasks: dict[str, TaskState]
    models: tuple[ModelRows, ...]
    tests_run: int
    tested_at: datetime | None
    tests: tuple[TestState, ...]
    rejected: tuple[Rejected, ...]


def read(query: Query) -> State:
    """Query the pipeline's state."""
    report = query("select written_at, every_sec from report", []).iloc[0]
    run = query("select ran_at, tests from test_run", []).iloc[0]
    streams = query(
        """
        select
            stream, source, source_table, stage, raw_table, raw_rows, windows_waiting, files_waiting, rows_waiting,
            bytes_waiting, waiting_since, damaged, watermark, horizon, mode,
            coalesce(rows_loaded, 0) as rows_loaded,
            coalesce(rows_rejected, 0) as rows_rejected,
            last_loaded_at
        from streams
        left join loads using (stream)
        order by position
        """,
        [],
    )
    tasks = _all(
        TaskState,
        query(
            """
            select
                task, started_at, ended_at, outcome, "ROWS", files, message, last_success_at, failures_in_a_row
            from tasks
            order by started_at
            """,
            [],
        ),
    )
    return State(
        written_at=report.written_at.to_pydatetime(),
        interval_sec=_plain(report.every_sec),
        streams=tuple(_all(StreamState, streams)),
        tasks={task.task: task for task in tasks},
        models=tuple(_all(ModelRows, query('select model, "ROWS", shown from models order by model', []))),
        tests_run=int(run.tests),
        tested_at=_plain(run.ran_at),
        tests=tuple(
            _all(
                TestState,
                query(
                    """
                    select test, kind, model, outcome, "ROWS", message, audit_table
                    from tests
                    order by outcome = 'warn', test
                    """,
                    [],
                ),
            )
        ),
        rejected=tuple(
            _all(
                Rejected,
                query('select stream, reason, "ROWS", last_at from rejected_reasons order by "ROWS" desc', []),
            )
        ),
    )


def cycles(query: Query) -> pd.DataFrame:
    """Return windows, rows and rejected rows, one row per stream and minute that has a window."""
    return query('select stream, minute, windows, "ROWS", rejected from cycles order by minute, stream', [])


def lateness(query: Query) -> pd.DataFrame:
    """Return the rows that arrived below the watermark, one row per stream and class of lateness."""
    return query('select stream, late, "ROWS" from lateness order by number, stream', [])


def credits(query: Query) -> pd.DataFrame:
    """Return `day` and `credits` of the last 30 days on which Snowflake's warehouse ran. Only for a metered dataset."""
    return query("select day, credits from credits order by day", [])


def rejected_rows(query: Query) -> pd.DataFrame:
    """Return the latest rejected rows."""
    return query(
        'select stream, key, reason, "ROW", file, loaded_at from rejected_rows order by loaded_at desc, key', []
    )


def failing_rows(query: Query, test: str) -> pd.DataFrame:
    """Return the rows that failed a test of the last build, each as JSON."""
    return query('select "ROW" from failing_rows where test = ?', [test])


T = TypeVar("T")


def _all(kind: type[T], rows: pd.DataFrame) -> list[T]:
    return [kind(**{str(k): _plain(v) for k, v in row.items()}) for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    """Return a frame's value as a plain Python value; missing values are None."""
    if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return int(value) if isinstance(value, float) and value.is_integer() else value
