"""The published copies as the pages ask them: answers are kept for as long as their publication is the newest."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import streamlit as st

from adventure.dashboard import REPORT_PATH, SALES_PATH
from adventure.dashboard.source import Copy, Identity, Query


def sales() -> Copy:
    """The marts."""
    return Copy(
        Path(os.environ.get(SALES_PATH, ".adventure/dashboard.duckdb")), "Run `adventure build`: it replaces it"
    )


def report() -> Copy:
    """What the pipeline says of itself."""
    path = Path(os.environ.get(REPORT_PATH, ".adventure/pipeline.duckdb"))
    return Copy(path, "The next run of the tasks replaces it: `adventure tasks run`")


def tasks_interval_sec() -> float:
    """How often the tasks run, where the report does not say."""
    return float(os.environ.get("TASKS_INTERVAL_SEC", "3600"))


def cached(copy: Copy, identity: Identity) -> Query:
    """Asks each question of a publication once, whoever asks."""

    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        return _answer(copy, str(copy.path), identity, statement, tuple(values))

    return query


@st.cache_data(show_spinner=False, max_entries=500)
def _answer(_copy: Copy, path: str, identity: Identity, statement: str, values: tuple[object, ...]) -> pd.DataFrame:
    return _copy.query(statement, values)


def utc_now() -> datetime:
    """Naive UTC, as all moments here."""
    return datetime.now(UTC).replace(tzinfo=None)
