"""What waits in a stage of some keys, read out of the staged files: it is on its way, and so no difference.

The files of any stage, once they lie on this machine.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from adventure.core.manifest import Window
from adventure.core.streams import Stream
from adventure.destinations.duckdb.columns import LARGEST_DOCUMENT
from adventure.destinations.duckdb.key_text import expressions, joined, literal
from adventure.destinations.duckdb.load import file_fault


def copy_staged(
    path: Callable[[Window, str], Path],
    windows: Iterable[Window],
    stream: Stream,
    kinds: Sequence[str],
    scratch: Path,
) -> bool:
    """Fills the table `staged` (key, cursor, live) of `scratch` with what these windows hold of its table `suspects`.

    Of tombstones `live` is false, of rejected rows NULL. A file that a cleanup removes meanwhile is in the warehouse.

    Args:
        path: where a window's file lies.

    Returns:
        Whether all of these windows can be loaded. One that is damaged is on its way nowhere, and passed over.
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
            "insert into staged select key, null, null from read_ndjson(?, columns = {key: 'varchar'},"
            " maximum_object_size = ?)",
            [str(path), LARGEST_DOCUMENT],
        )
        return
    if window.deletes and name == window.deletes.name:
        parts = [f"key[{literal(column)}]" for column in stream.key]
        key, cursor, live = joined(parts), "epoch_us(deleted_at)", "false"
        rows = "read_ndjson(?, columns = {key: 'map(varchar, varchar)', deleted_at: 'timestamp'})"
        values: list[object] = [str(path)]
    else:
        key, cursor = expressions(stream, kinds)
        live = "true"
        if name.endswith(".parquet"):
            rows, values = "read_parquet(?)", [str(path)]
        else:
            rows = "(select json as raw from read_ndjson_objects(?, maximum_object_size = ?))"
            values = [str(path), LARGEST_DOCUMENT]
    connection.execute(
        f"insert into staged select * from (select {key} as key, {cursor} as cursor, {live} as live from {rows})"
        " where key in (from suspects select key)",
        values,
    )
