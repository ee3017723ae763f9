"""What was published in Snowflake: the tables of the schema DASHBOARD, asked over a cursor.

Inside Snowflake the cursor is the active session's, from a laptop the connector's: the same interface, and the same
code from there on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import pandas as pd
import pyarrow as pa

from adventure.core.errors import AdventureError, WarehouseError
from adventure.destinations.published import Identity

SCHEMA = "DASHBOARD"
_ABSENT = 2003
"""The server's number for what does not exist, or may not be seen."""
_BELIEVED_SEC = 5.0
"""How long a look at what is newest holds: a page asks several times while it is drawn."""

# By the number that the server gives a column's type (see cursor.description in PEP 249 and the connector's manual).
_KINDS = {
    1: pa.float64(),
    2: pa.string(),
    3: pa.date32(),
    4: pa.timestamp("us"),
    6: pa.timestamp("us", "UTC"),
    7: pa.timestamp("us", "UTC"),
    8: pa.timestamp("us"),
    13: pa.bool_(),
}
_seen: "dict[SnowflakeCopy, tuple[float, datetime | None]]" = {}


@dataclass(frozen=True)
class SnowflakeCopy:
    """See `Copy`."""

    name: str
    """The table of one row that is written last."""
    stamp: str
    """Its column that says when."""
    remedy: str
    connect: Callable[[], Any]
    is_metered = True

    def identity(self) -> Identity | None:
        """What changes with each publication; None when there is none yet."""
        published_at = self.published_at()
        return None if published_at is None else (self.name, published_at)

    def published_at(self) -> datetime | None:
        """When the newest was published, as it was up to 5 s ago."""
        looked_at, moment = _seen.get(self, (-_BELIEVED_SEC, None))
        if time.monotonic() - looked_at >= _BELIEVED_SEC:
            rows = self.query(f"select {self.stamp} from {self.name}")
            moment = rows[self.stamp].tolist()[0].to_pydatetime() if len(rows) else None
            _seen[self] = time.monotonic(), moment
        return moment

    def query(self, statement: str, values: Sequence[object] = ()) -> pd.DataFrame:
        """See `Query`.

        Raises:
            WarehouseError: Snowflake says no, or does not answer.
        """
        try:
            with self.connect().cursor() as cursor:
                cursor.execute(statement, list(values) or None)
                described, rows = cursor.description, cursor.fetchall()
        except AdventureError as error:
            raise WarehouseError(error.problem, error.remedy) from error
        except Exception as error:
            # By no class of its own: Snowflake's Python raises others than the connector does.
            signed_in.cache_clear()
            remedy = "Run `adventure snowflake deploy`" if getattr(error, "errno", None) == _ABSENT else self.remedy
            raise WarehouseError(f"Snowflake gave no answer: {str(error).rstrip('.')}", remedy) from error
        return to_frame(described, rows)


def to_frame(description: Sequence[Any], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Rows as DuckDB gives them: names in lower case, whole numbers as such, other decimals as decimals."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(description)
    made = {
        column[0].lower(): pa.array(values, _kind(column)) for column, values in zip(description, columns, strict=True)
    }
    frame: pd.DataFrame = pa.table(made).to_pandas()
    return frame


def _kind(column: Any) -> pa.DataType:
    number, scale = column[1], column[5]
    if number == 0:
        return pa.decimal128(38, scale) if scale else pa.int64()
    return _KINDS.get(number, pa.string())


def active() -> Any:
    """The session in which Snowflake runs the app, with its owner's rights and in its schema."""
    from snowflake.snowpark.context import get_active_session

    return get_active_session().connection


@cache
def signed_in() -> Any:
    """A connection as who builds the models, who may read what was published; one for all visitors of this process.

    Raises:
        ConfigError: the settings do not say how to sign in.
        WarehouseError: Snowflake says no, or does not answer.
    """
    from adventure.core.settings import load_settings
    from adventure.destinations.snowflake.session import SnowflakeLogin, connect_snowflake

    settings = load_settings()
    return connect_snowflake(settings, SnowflakeLogin.of_dbt(settings), schema=SCHEMA, tag="adventure:dashboard")
