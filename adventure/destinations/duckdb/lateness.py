"""How late rows landed, asked of DuckDB."""

from collections.abc import Sequence
from datetime import datetime

import duckdb

from adventure.core.streams import Stream
from adventure.destinations.common import lateness as every_warehouses
from adventure.destinations.duckdb.connection import reading
from adventure.destinations.duckdb.key_text import expressions, raw_table
from adventure.destinations.duckdb.load import columns_of


def lateness(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    kinds: Sequence[str],
    bounds: Sequence[int],
    *,
    since: datetime = datetime.min,
) -> dict[int, int]:
    """See `adventure.destinations.common.lateness`; none, where there is no raw table."""
    if not columns_of(connection, stream):
        return {}
    return every_warehouses.lateness(
        reading(connection),
        stream,
        raw_table(stream),
        expressions(stream, kinds),
        "epoch_us({})".format,
        bounds,
        since=since,
    )
