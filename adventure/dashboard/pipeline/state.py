"""Query the pipeline's state from its report. This module must not import Streamlit."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from adventure.destinations.published import Query
from adventure.monitoring.health.published import read_all, read_report, rows
from adventure.monitoring.health.state import Report, TaskState


@dataclass(frozen=True)
class ModelRows:
    """The row count of a table built by dbt."""

    model: str
    rows: int
    shown: bool
    """Whether the dashboard shows it."""


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

    report: Report
    models: tuple[ModelRows, ...]
    tests_run: int
    tested_at: datetime | None
    rejected: tuple[Rejected, ...]

    @property
    def tasks(self) -> dict[str, TaskState]:
        """Return the last run of each task by its name."""
        return {task.task: task for task in self.report.tasks}


def read(query: Query) -> State:
    """Query the pipeline's state."""
    [(ran_at, tests)] = rows(query("select ran_at, tests from test_run", []))
    return State(
        report=read_report(query),
        models=read_all(ModelRows, query('select model, "ROWS", shown from models order by model', [])),
        tests_run=int(tests),
        tested_at=ran_at,
        rejected=read_all(
            Rejected, query('select stream, reason, "ROWS", last_at from rejected_reasons order by "ROWS" desc', [])
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
