"""Cached queries for the pages. An answer is reused until a newer version is published."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from adventure.dashboard.source import HEARTBEAT_PATH
from adventure.destinations.published import PublishedDataset, Query, Version

if TYPE_CHECKING:
    from adventure.core.failures import Failure
    from adventure.core.heartbeat import Heartbeat


def tasks_interval_sec() -> float:
    """Return how often the tasks run. Used where the report does not say."""
    return float(os.environ.get("TASKS_INTERVAL_SEC", "3600"))


def processor_heartbeat() -> "Heartbeat | None":
    """Return the processor's last heartbeat; None where its file is not visible from here."""
    path = os.environ.get(HEARTBEAT_PATH)
    if not path:
        return None
    from adventure.core.heartbeat import read

    return read(Path(path))


def processor_failures() -> "tuple[Failure, ...]":
    """Return why the processor cannot read streams; none where its file is not visible from here."""
    path = os.environ.get(HEARTBEAT_PATH)
    if not path:
        return ()
    from adventure.core.failures import beside, read

    return read(beside(Path(path)))


def cached_query(dataset: PublishedDataset, version: Version) -> Query:
    """Return a query function that runs each statement once per version, for all visitors."""

    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        return _answer(dataset, dataset.name, version, statement, tuple(values))

    return query


@st.cache_data(show_spinner=False, max_entries=500)
def _answer(
    _dataset: PublishedDataset, name: str, version: Version, statement: str, values: tuple[object, ...]
) -> pd.DataFrame:
    return _dataset.query(statement, values)
