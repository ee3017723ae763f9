"""How late rows landed, asked of DuckDB."""

from collections.abc import Sequence
from datetime import datetime

import duckdb

from adventure.streams import Stream
from adventure.warehouse import lateness as every_warehouses
from adventure.warehouse.duckdb.connection import reading
from adventure.warehouse.duckdb.key_text import expressions, raw_table
from adventure.warehouse.duckdb.load import columns_of


def lateness(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    kinds: Sequence[str],
    bounds: Sequence[int],
    *,
    since: datetime = datetime.min,
) -> dict[int, int]:
    """See `adventure.warehouse.lateness`; none, where there is no raw table."""
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
