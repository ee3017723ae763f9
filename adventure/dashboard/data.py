"""Cached queries for the pages. An answer is reused until a newer version is published."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adventure.dashboard.source import HEARTBEAT_PATH, OBSERVED_PATH
from adventure.destinations.published import PublishedDataset, Query, Version
from adventure.monitoring.health.observed import read_observed
from adventure.monitoring.health.published import read_report
from adventure.monitoring.health.state import Limits, Report, State

if TYPE_CHECKING:
    from adventure.core.failures import Failure
    from adventure.core.heartbeat import Heartbeat


def health(report: Report, now: datetime) -> State:
    """Return the state that the rules judge: the published report, and the files of this machine."""
    path = os.environ.get(OBSERVED_PATH)
    observed = read_observed(Path(path)) if path else None
    return State(now, report, processor_heartbeat(), _failures(), observed, limits())


def limits() -> Limits:
    """Return the limits of the settings; their defaults where Snowflake runs the app."""
    waiting = os.environ.get("ALERT_WAITING_SEC")
    return Limits(
        tasks_interval_sec=float(os.environ.get("TASKS_INTERVAL_SEC", Limits.tasks_interval_sec)),
        waiting_sec=float(waiting) if waiting else None,
        lag_sec=float(os.environ.get("ALERT_LAG_SEC", Limits.lag_sec)),
        task_failures=int(os.environ.get("ALERT_FAILURES", Limits.task_failures)),
    )


def processor_heartbeat() -> "Heartbeat | None":
    """Return the processor's last heartbeat; None where its file is not visible from here."""
    path = os.environ.get(HEARTBEAT_PATH)
    if not path:
        return None
    from adventure.core.heartbeat import read

    return read(Path(path))


def _failures() -> "tuple[Failure, ...]":
    """Return why the processor cannot read streams; none where its file is not visible from here."""
    path = os.environ.get(HEARTBEAT_PATH)
    if not path:
        return ()
    from adventure.core.failures import beside, read

    return read(beside(Path(path)))


def cached_query(dataset: PublishedDataset, version: Version) -> Query:
    """Return a query function that runs each statement once per version, for all visitors."""
    published = _Published(dataset.name, version, dataset)

    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        # A copy: the pages add columns to their frames.
        return _answer(published, statement, tuple(values)).copy()

    return query


def cached_report(dataset: PublishedDataset, version: Version) -> Report:
    """Return the published report; see `read_report`. It is read once per version."""
    return _report(_Published(dataset.name, version, dataset))


def forget() -> None:
    """Forget all answers."""
    _answer.cache_clear()
    _report.cache_clear()


@dataclass(frozen=True)
class _Published:
    """A version of a dataset. Two with the same name and version are equal."""

    name: str
    version: Version
    dataset: PublishedDataset = field(compare=False)


# Not Streamlit's cache, which hashes and unpickles: that was a sixth of the script's time, for forty answers of a page.
@lru_cache(maxsize=500)
def _answer(published: _Published, statement: str, values: tuple[object, ...]) -> pd.DataFrame:
    return published.dataset.query(statement, values)


@lru_cache(maxsize=2)
def _report(published: _Published) -> Report:
    return read_report(cached_query(published.dataset, published.version))
