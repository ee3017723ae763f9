"""Reads the published tables of the schema DASHBOARD.

Inside Snowflake the session in which Snowflake runs the app reads them, elsewhere a connection of the connector.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from adventure.core.errors import AdventureError, WarehouseError
from adventure.destinations.published import Version

SCHEMA = "DASHBOARD"
_ABSENT = 2003
"""The server's error number for an object that does not exist or may not be seen."""
CACHE_TTL_SEC = 5.0
"""How long the time of the latest publication is reused. A page asks for it several times while it is drawn."""

# Arrow types by the type code in cursor.description (PEP 249 and the connector's manual).
_BY_CODE = {
    1: pa.float64(),
    2: pa.string(),
    3: pa.date32(),
    4: pa.timestamp("us"),
    6: pa.timestamp("us", "UTC"),
    7: pa.timestamp("us", "UTC"),
    8: pa.timestamp("us"),
    13: pa.bool_(),
}
# Arrow types by the name of the class in a data frame's schema (Snowpark's manual, snowflake.snowpark.types).
_BY_CLASS = {
    "DoubleType": pa.float64(),
    "FloatType": pa.float64(),
    "DateType": pa.date32(),
    "BooleanType": pa.bool_(),
    "ByteType": pa.int64(),
    "ShortType": pa.int64(),
    "IntegerType": pa.int64(),
    "LongType": pa.int64(),
}
Answer = tuple[Mapping[str, pa.DataType], Sequence[Sequence[Any]]]
"""Arrow types by column, and the rows."""
_CONTAINER_TOKEN = Path("/snowflake/session/token")
"""Snowflake writes this file into its containers only."""
_seen: "dict[SnowflakeDataset, tuple[float, datetime | None]]" = {}


@dataclass(frozen=True)
class SnowflakeDataset:
    """See `PublishedDataset`."""

    name: str
    """The table of one row that a publication writes last."""
    stamp: str
    """That table's column with the time of the publication."""
    remedy: str
    """The command that publishes again."""
    read: Callable[[str, Sequence[object]], Answer]
    """Runs a statement with values for its question marks."""
    is_metered = True

    def version(self) -> Version | None:
        """Return the table and the time of the latest publication; None before the first one."""
        published_at = self.published_at()
        return None if published_at is None else (self.name, published_at)

    def published_at(self) -> datetime | None:
        """Return when the latest publication was made, as of at most CACHE_TTL_SEC ago."""
        looked_at, moment = _seen.get(self, (-CACHE_TTL_SEC, None))
        if time.monotonic() - looked_at >= CACHE_TTL_SEC:
            rows = self.query(f"select {self.stamp} from {self.name}")
            moment = rows[self.stamp].tolist()[0].to_pydatetime() if len(rows) else None
            _seen[self] = time.monotonic(), moment
        return moment

    def query(self, statement: str, values: Sequence[object] = ()) -> pd.DataFrame:
        """Run a statement with values for its question marks; see `Query`.

        Raises:
            WarehouseError: Snowflake refuses, or does not answer.
        """
        try:
            types, rows = self.read(statement, values)
        except AdventureError as error:
            raise WarehouseError(error.problem, error.remedy) from error
        except Exception as error:
            # Catch every class: Snowflake's Python raises other classes than the connector.
            signed_in.cache_clear()
            remedy = "Run `adventure snowflake deploy`" if getattr(error, "errno", None) == _ABSENT else self.remedy
            raise WarehouseError(f"Snowflake gave no answer: {str(error).rstrip('.')}", remedy) from error
        return to_frame(types, rows)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        return list(self.query(statement).itertuples(index=False, name=None))


def to_frame(types: Mapping[str, pa.DataType], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return the rows as DuckDB does: names in lower case, whole numbers as integers, other numbers as decimals."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    made = {name.lower(): pa.array(values, kind) for (name, kind), values in zip(types.items(), columns, strict=True)}
    frame: pd.DataFrame = pa.table(made).to_pandas()
    return frame


def read_connection(connection: Any, statement: str, values: Sequence[object]) -> Answer:
    """Run a statement on a connection of the connector."""
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values) or None)
        return {column[0]: _connector_type(column) for column in cursor.description}, cursor.fetchall()


def _connector_type(column: Any) -> pa.DataType:
    number, scale = column[1], column[5]
    if number == 0:
        return _number(scale)
    return _BY_CODE.get(number, pa.string())


def read_active(statement: str, values: Sequence[object] = ()) -> Answer:
    """Run a statement in the session in which Snowflake runs the app, with its owner's rights, in its schema."""
    frame = _active_session().sql(statement, params=list(values) or None)
    types = {field.name.strip('"'): _snowpark_type(field.datatype) for field in frame.schema.fields}
    return types, [tuple(row) for row in frame.collect()]


def _active_session() -> Any:
    """Return the session of a warehouse's runtime, or open that of a container's, which is one for all viewers."""
    if _CONTAINER_TOKEN.exists():
        import streamlit

        return streamlit.connection("snowflake").session()
    from snowflake.snowpark.context import get_active_session

    return get_active_session()


def _snowpark_type(kind: Any) -> pa.DataType:
    name = type(kind).__name__
    if name == "DecimalType":
        return _number(kind.scale)
    if name == "TimestampType":
        # Its zone is an enumeration whose texts are default, ntz, ltz and tz. The shown tables have none but ntz.
        return pa.timestamp("us", "UTC") if str(kind.tz).lower() in ("ltz", "tz") else pa.timestamp("us")
    return _BY_CLASS.get(name, pa.string())


def _number(scale: int) -> pa.DataType:
    return pa.decimal128(38, scale) if scale else pa.int64()


def read_signed_in(statement: str, values: Sequence[object] = ()) -> Answer:
    """Run a statement as dbt's user; see `signed_in`."""
    return read_connection(signed_in(), statement, values)


@cache
def signed_in() -> Any:
    """Return a connection with dbt's user, who may read the published tables. All visitors of this process share it.

    Raises:
        ConfigError: a setting for signing in is missing or wrong.
        WarehouseError: Snowflake refuses, or does not answer.
    """
    from adventure.core.environment import load_settings
    from adventure.destinations.snowflake.credentials import SnowflakeLogin
    from adventure.destinations.snowflake.session import connect_snowflake

    settings = load_settings()
    return connect_snowflake(settings, SnowflakeLogin.of_dbt(settings), schema=SCHEMA, tag="adventure:dashboard")
