"""What was published as the pages ask it: answers are kept for as long as their publication is the newest."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from adventure.dashboard.source import HEARTBEAT_PATH
from adventure.destinations.published import Copy, Identity, Query

if TYPE_CHECKING:
    from adventure.core.heartbeat import Heartbeat


def tasks_interval_sec() -> float:
    """How often the tasks run, where the report does not say."""
    return float(os.environ.get("TASKS_INTERVAL_SEC", "3600"))


def processor() -> "Heartbeat | None":
    """The processor's last sign of life, now; None where it cannot be seen."""
    path = os.environ.get(HEARTBEAT_PATH)
    if not path:
        return None
    from adventure.core.heartbeat import read

    return read(Path(path))


def cached(copy: Copy, identity: Identity) -> Query:
    """Asks each question of a publication once, whoever asks."""

    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        return _answer(copy, copy.name, identity, statement, tuple(values))

    return query


@st.cache_data(show_spinner=False, max_entries=500)
def _answer(_copy: Copy, name: str, identity: Identity, statement: str, values: tuple[object, ...]) -> pd.DataFrame:
    return _copy.query(statement, values)
