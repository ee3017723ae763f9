"""Read staged files with DuckDB, from any stage, once they are on this machine.

Reconcile counts the versions in them as in flight, whichever warehouse they are for.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from adventure.core.manifest import StagedFile, Window
from adventure.core.sql_text import literal
from adventure.core.streams import Stream
from adventure.destinations.common.dialect import joined
from adventure.destinations.common.duckdb_dialect import DUCKDB

# Without `hive_partitioning = false`, a folder named like a column (`id=7`) above the stage would replace its values.
DELETED_ROWS = (
    "read_ndjson(?, columns = {key: 'map(varchar, varchar)', deleted_at: 'timestamp'}, hive_partitioning = false)"
)
REJECTED_ROWS = (
    "read_ndjson(?, columns = {key: 'varchar', reason: 'varchar', row: 'varchar'}, maximum_object_size = ?,"
    " hive_partitioning = false)"
)
"""What DuckDB reads from `deletes.ndjson.gz` and `rejects.ndjson.gz`."""

LARGEST_DOCUMENT = 64 << 20
"""In bytes. MongoDB's limit is 16 MB of BSON; the same document is longer as JSON."""


def file_fault(path: Path, promised: StagedFile) -> str:
    """Return what is wrong with a staged file; empty if size and checksum are those of window.json."""
    try:
        with path.open("rb") as file:
            whole = path.stat().st_size == promised.bytes
            whole = whole and hashlib.file_digest(file, "sha256").hexdigest() == promised.sha256
    except FileNotFoundError:
        return f"{path} is missing; its window.json lists the file, and it was never loaded"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    return "" if whole else f"{path} is not the file that was staged: its size or checksum differs from window.json"


def copy_staged(
    path: Callable[[Window, str], Path],
    windows: Iterable[Window],
    stream: Stream,
    kinds: Sequence[str],
    scratch: Path,
) -> bool:
    """Fill the table `staged` (key, cursor, live) of `scratch` with the windows' rows of the keys in its `suspects`.

    `live` is false for tombstones and NULL for rejected rows. A file that a cleanup removes meanwhile is skipped: its
    rows are in the warehouse.

    Args:
        path: returns the local path of a window's file.

    Returns:
        Whether all windows can be loaded. Damaged windows are skipped.
    """
    are_whole = True
    with duckdb.connect(str(scratch)) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("create or replace table staged (key varchar, cursor bigint, live boolean)")
        for window in windows:
            if any(file_fault(path(window, file.name), file) for file in window.all_files):
                are_whole = False
                continue
            for file in window.all_files:
                with suppress(duckdb.IOException):
                    _copy_file(connection, stream, kinds, window, file.name, path(window, file.name))
    return are_whole


def _copy_file(
    connection: duckdb.DuckDBPyConnection, stream: Stream, kinds: Sequence[str], window: Window, name: str, path: Path
) -> None:
    if window.rejects and name == window.rejects.name:
        connection.execute(
            f"insert into staged select key, null, null from {REJECTED_ROWS}", [str(path), LARGEST_DOCUMENT]
        )
        return
    if window.deletes and name == window.deletes.name:
        parts = [f"key[{literal(column)}]" for column in stream.key]
        key, cursor, live = joined(parts), "epoch_us(deleted_at)", "false"
        rows, values = DELETED_ROWS, list[object]([str(path)])
    else:
        key, cursor, live = DUCKDB.key(stream, kinds, {}), DUCKDB.cursor(stream), "true"
        if name.endswith(".parquet"):
            rows, values = "read_parquet(?, hive_partitioning = false)", [str(path)]
        else:
            rows = "(select json as raw from read_ndjson_objects(?, maximum_object_size = ?))"
            values = [str(path), LARGEST_DOCUMENT]
    connection.execute(
        f"insert into staged select * from (select {key} as key, {cursor} as cursor, {live} as live from {rows})"
        " where key in (from suspects select key)",
        values,
    )
