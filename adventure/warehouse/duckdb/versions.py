"""What the warehouse holds of a stream, as one latest version of each key, copied into a file of the caller's own.

The warehouse's file is held for as long as that takes and no longer, so that loads go on while the copy is compared.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from adventure.stage.folder import FolderStage
from adventure.stage.manifest import Window
from adventure.streams import Stream
from adventure.warehouse.duckdb.columns import LARGEST_DOCUMENT, quoted
from adventure.warehouse.duckdb.load import columns_of

MEMORY = "1GB"
"""What a copy may take of the machine; the rest goes to disk, beside the copy."""

_TABLES = """
create or replace table scratch.held (key varchar, cursor bigint, live boolean, parts varchar[]);
create or replace table scratch.rejected (key varchar, cursor bigint);
"""


def copy_versions(
    connection: duckdb.DuckDBPyConnection, stream: Stream, kinds: Sequence[str], scratch: Path, *, suspects: bool
) -> None:
    """Fills the tables `held` and `rejected` of the DuckDB file `scratch`.

    `held` has the latest version of each key: its cursor in microseconds since 1970 (NULL where it has none), whether
    the row lives or is a tombstone, and, of suspects, each key column as the raw table prints it. `rejected` has the
    keys of the rows set aside, their parts joined by commas, and their cursor where it is known.

    Args:
        kinds: how each key column becomes text, see `adventure.reconcile.keys`.
        suspects: only the keys that table `suspects` of that file holds.
    """
    connection.execute(f"set memory_limit = '{MEMORY}'")
    connection.execute("set preserve_insertion_order = false")
    connection.execute(f"set temp_directory = {_literal(f'{scratch}.spill')}")
    connection.execute(f"attach {_literal(str(scratch))} as scratch")
    try:
        connection.execute(_TABLES)
        if columns_of(connection, stream):
            key, cursor = expressions(stream, kinds)
            _copy_held(connection, stream, key, cursor, suspects)
        _copy_rejected(connection, stream, kinds)
    finally:
        connection.execute("detach scratch")


def copy_staged(
    stage: FolderStage, windows: Iterable[Window], stream: Stream, kinds: Sequence[str], scratch: Path
) -> None:
    """Fills the table `staged` (key, cursor, live) of `scratch` with what these windows hold of its table `suspects`.

    Of tombstones `live` is false, of rejected rows NULL. A file that a cleanup removes meanwhile is in the warehouse.
    """
    with duckdb.connect(str(scratch)) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("create or replace table staged (key varchar, cursor bigint, live boolean)")
        for window in windows:
            for file in window.all_files:
                with suppress(duckdb.IOException):
                    _copy_file(connection, stream, kinds, window, file.name, stage.path(window, file.name))


def _copy_held(connection: duckdb.DuckDBPyConnection, stream: Stream, key: str, cursor: str, suspects: bool) -> None:
    kind = "document" if stream.source == "mongo" else "plain"
    parts = ", ".join(_part(column, kind) for column in stream.key)
    # As the models order versions: by cursor, then by load, then rows before tombstones. One number each, because a
    # hash table of numbers is small; the cursor is moved up so that it is not below zero.
    connection.execute(
        f"""
        insert into scratch.held
        with versions as (
            select
                {key} as key,
                max(
                    coalesce({cursor} + (1::hugeint << 61), 0) * (1::hugeint << 64)
                    + epoch_us(_loaded_at)::hugeint * 2 + (_deleted_at is null)::int
                ) as version,
                {f"any_value([{parts}])" if suspects else "null"} as parts
            from {raw_table(stream)}
            where {key} {"in (from scratch.suspects select key)" if suspects else "is not null"}
            group by 1
        )
        select key, nullif(version >> 64, 0) - (1::hugeint << 61), (version & 1) = 1, parts
        from versions
        """
    )


def _copy_rejected(connection: duckdb.DuckDBPyConnection, stream: Stream, kinds: Sequence[str]) -> None:
    # The row as PostgreSQL prints it tells the version; a document that could not be decoded does not.
    field = _literal(_path(stream.cursor))
    connection.execute(
        f"""
        insert into scratch.rejected
        select
            {_part("key", "number") if tuple(kinds) == ("number",) else "key"},
            epoch_us(
                try_cast(case when json_valid(row) then json_extract_string(row, {field}) end as timestamptz)
            ) as cursor
        from raw_ext.rejected_rows
        where stream = ?
        """,
        [stream.name],
    )


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
        parts = [f"key[{_literal(column)}]" for column in stream.key]
        key, cursor, live = _joined(parts), "epoch_us(deleted_at)", "false"
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


def expressions(stream: Stream, kinds: Sequence[str]) -> tuple[str, str]:
    """SQL of the key's text and of the cursor in microseconds, over the raw table or a staged file."""
    parts = [_part(column, kind) for column, kind in zip(stream.key, kinds, strict=True)]
    if stream.source == "mongo":
        return _joined(parts), f"epoch_us(try_cast({_part(stream.cursor, 'document')} as timestamptz))"
    return _joined(parts), f"epoch_us({quoted(stream.cursor)})"


def _part(column: str, kind: str) -> str:
    if kind == "document":
        return f"json_extract_string(raw, {_literal(_path(column))})"
    name = quoted(column)
    if kind == "number":
        return f"regexp_replace(regexp_replace({name}::varchar, '(\\.[0-9]*?)0+$', '\\1'), '\\.$', '')"
    if kind == "padded":
        return f"rtrim({name}, ' ')"
    if kind == "bytes":
        return f"'\\x' || lower(hex({name}))"
    return f"{name}::varchar"


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return " || ".join(f"length({part}) || ':' || {part}" for part in parts)


def _path(field: str) -> str:
    return '$."' + field.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def raw_table(stream: Stream) -> str:
    """Its name as SQL."""
    return ".".join(map(quoted, stream.raw_table.split(".", 1)))
