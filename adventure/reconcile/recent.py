"""The scheduled reconciliation: compare the last hours of each stream, once a day by default."""

from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, CheckFailed, ConfigError
from adventure.core.extras import install
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.warehouse import TaskHistory

if TYPE_CHECKING:
    from adventure.reconcile.run import Report

TASK = "reconcile"
"""The name of the task."""

RETRY_SEC = 600.0
"""Delay until the next run after one that failed or found differences, so that a repair shows soon."""


def is_due(settings: Settings, history: TaskHistory) -> bool:
    """Return whether RECONCILE_INTERVAL_SEC have passed since the last run; 0 turns the task off."""
    interval = settings.reconcile_interval_sec
    if not interval:
        return False
    last = next((run for run in history.last_runs() if run.name == TASK), None)
    if last is None:
        return True
    wait = interval if last.outcome == "succeeded" else min(interval, RETRY_SEC)
    return utc_now() - last.started_at >= timedelta(seconds=wait)


def reconcile_recent(settings: Settings, streams: Sequence[Stream]) -> tuple[int, str]:
    """Compare the rows of each stream that changed in the last RECONCILE_WINDOW_SEC before its watermark.

    Returns:
        The number of source rows compared, and a message that says so.

    Raises:
        CheckFailed: a stream differs or could not be compared. The other streams are still compared.
        ConfigError: DuckDB, which compares the two sides, is not installed.
    """
    if find_spec("duckdb") is None:
        raise ConfigError(
            "The sources cannot be compared with the warehouse: the package duckdb is not installed here",
            f"{install('warehouse')}, or set RECONCILE_INTERVAL_SEC=0 and run `adventure reconcile` elsewhere",
        )
    # Imported here, so that a task server on Snowflake starts without DuckDB.
    from adventure.reconcile.run import reconcile

    recent = timedelta(seconds=settings.reconcile_window_sec)
    rows, found = 0, []
    # Without a cursor there are no recent rows. The processor itself compares the whole table of a snapshot.
    for stream in (each for each in streams if not each.has_read_at):
        try:
            (report,) = reconcile(settings, [stream], recent=recent)
        except AdventureError as error:
            found.append(f"{stream.name} could not be compared: {error}")
            continue
        if report.failure:
            found.append(f"{stream.name} could not be compared: {report.failure}")
        rows += report.result.rows if report.result else 0
        if report.result and report.result.differs:
            found.append(f"{stream.name}: {_differences(report)}")
    if found:
        raise CheckFailed(
            f"Source and warehouse were compared over the last {_hours(recent)} h. {'; '.join(found)}",
            "Run `adventure reconcile` to see the rows, and `adventure reconcile --repair` to stage what is missing",
        )
    if not rows:
        return 0, f"Nothing was compared: no stream has a row in the last {_hours(recent)} h before its watermark"
    return rows, f"Compared {rows:,} rows of the last {_hours(recent)} h; source and warehouse agree"


def _differences(report: "Report") -> str:
    from adventure.reconcile.result import VERDICTS

    assert report.result is not None
    counts = [(report.result.count(verdict), verdict) for verdict in VERDICTS]
    return ", ".join(f"{count:,} {verdict}" for count, verdict in counts if count) + f" of {report.result.rows:,} rows"


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:g}"
