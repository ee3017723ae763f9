"""How the pipeline stands, as questions to its report. This file must not know Streamlit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pandas as pd

from adventure.destinations.published import Query


@dataclass(frozen=True)
class StreamState:
    """One stream, from its source to its raw table. Moments are naive UTC."""

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
    """What is wrong with a window that cannot be read."""
    watermark: datetime | None
    """Of what is loaded; None before the first load."""
    horizon: datetime | None
    mode: str | None
    rows_loaded: int
    rows_rejected: int
    last_loaded_at: datetime | None


@dataclass(frozen=True)
class TaskState:
    """The last run of a task that had something to do."""

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
        """How long it took."""
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class ModelRows:
    """A table that dbt made."""

    model: str
    rows: int
    shown: bool
    """On the dashboard."""


@dataclass(frozen=True)
class TestState:
    """A test or model of dbt's last run that failed or warned."""

    __test__ = False  # not one of pytest's

    test: str
    kind: str
    model: str
    outcome: str
    rows: int | None
    message: str
    audit_table: str | None
    """Where its rows are."""


@dataclass(frozen=True)
class Rejected:
    """Rows of a stream that were set aside for one reason."""

    stream: str
    reason: str
    rows: int
    last_at: datetime


@dataclass(frozen=True)
class State:
    """All that the verdict and the picture need."""

    written_at: datetime
    """After each run of the tasks."""
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
    """The whole state."""
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
    """A row a stream and minute with a window: windows, rows, rejected."""
    return query('select stream, minute, windows, "ROWS", rejected from cycles order by minute, stream', [])


def lateness(query: Query) -> pd.DataFrame:
    """A row a stream and class of lateness: rows that landed below the watermark, by how much."""
    return query('select stream, late, "ROWS" from lateness order by number, stream', [])


def credits(query: Query) -> pd.DataFrame:
    """A row a day of the last 30 on which Snowflake's warehouse ran: `day`, `credits`. Only where a copy is metered."""
    return query("select day, credits from credits order by day", [])


def rejected_rows(query: Query) -> pd.DataFrame:
    """The rows that were set aside last."""
    return query(
        'select stream, key, reason, "ROW", file, loaded_at from rejected_rows order by loaded_at desc, key', []
    )


def failing_rows(query: Query, test: str) -> pd.DataFrame:
    """Rows that a test of the last build did not like, each as JSON."""
    return query('select "ROW" from failing_rows where test = ?', [test])


T = TypeVar("T")


def _all(kind: type[T], rows: pd.DataFrame) -> list[T]:
    return [kind(**{str(k): _plain(v) for k, v in row.items()}) for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    """A value of a frame as Python's own; what is missing is None."""
    if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return int(value) if isinstance(value, float) and value.is_integer() else value
