"""Where the figures come from: the published copy, opened for one question at a time.

The file is replaced whole by each publication, so a question is answered by the old one or the new one. In Snowflake
the same questions go to the marts themselves; nothing else of the app would change.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
import pandas as pd

# DuckDB gives connections of one process that overlap the same open file: a visitor who asks after a publication
# would be answered by the file before it, as long as another visitor's question holds that open.
_ONE_AT_A_TIME = Lock()


def identity(path: Path) -> tuple[int, int] | None:
    """What changes with each publication; None when there is none yet."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def query(path: Path, statement: str, values: Sequence[object] = ()) -> pd.DataFrame:
    """The answer as a frame; decimals stay decimals."""
    with _ONE_AT_A_TIME, duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        answer: Any = connection.execute(statement, list(values)).to_arrow_table()
        frame: pd.DataFrame = answer.to_pandas()
        return frame
