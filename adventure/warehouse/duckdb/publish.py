"""The copy that the dashboard reads: small tables only, so that publishing costs the same whatever the history.

It is written beside the old one and replaces it whole; a reader has either the old or the new.
"""

import os
from pathlib import Path

import duckdb

from adventure.errors import WarehouseError
from adventure.faults import Point, reached
from adventure.stage.manifest import utc_now

_MARTS = ("sales_last_30_days",)

_PUBLICATION = """
create table published.publication as
select
    ?::timestamp as built_at,
    (select max(high) from raw_ext.load_history where kind = 'data') as data_as_of
"""

_STREAMS = """
create table published.streams as
select
    stream,
    coalesce(sum(rows) filter (where kind = 'data'), 0)::bigint as rows_loaded,
    coalesce(sum(rows) filter (where kind = 'rejects'), 0)::bigint as rows_rejected,
    max(loaded_at) as last_loaded_at
from raw_ext.load_history
group by stream
"""


def publish(connection: duckdb.DuckDBPyConnection, target: Path) -> int:
    """Replaces `target`; the number of rows of the marts in it.

    Raises:
        WarehouseError: a mart is missing, or the file cannot be written.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
            leftover.unlink(missing_ok=True)
        rows = _write(connection, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        reached(Point.COPY_WRITTEN)
        unfinished.replace(target)
        reached(Point.PUBLISHED)
    except OSError as error:
        raise WarehouseError(f"{target} cannot be written: {error.strerror}", "Check space and permissions") from error
    return rows


def _write(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    rows = 0
    # ATTACH takes no parameter.
    connection.execute(f"attach '{str(path).replace(chr(39), chr(39) * 2)}' as published")
    try:
        for mart in _MARTS:
            connection.execute(f"create table published.{mart} as from dbt_prod.{mart}")
            found = connection.execute(f"select count(*) from published.{mart}").fetchone()
            rows += int(found[0]) if found else 0
        connection.execute(_PUBLICATION, [utc_now()])
        connection.execute(_STREAMS)
    except duckdb.CatalogException as error:
        raise WarehouseError(f"There is nothing to publish yet: {error}", "Run `adventure build` first") from error
    finally:
        connection.execute("detach published")
    return rows
