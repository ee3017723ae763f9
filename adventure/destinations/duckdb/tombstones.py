"""Writes rows that were deleted at the source as tombstones. Raw tables keep every version, so no row is deleted.

A tombstone holds the row's key, and the time of the deletion both in `_deleted_at` and as its cursor. It is the latest
version of its key until a row with the same key and a later cursor arrives.
"""

from datetime import timedelta

import duckdb

from adventure.core.errors import SchemaDrift
from adventure.core.manifest import DELETES, KEY_TEXTS, Window
from adventure.core.sql_text import literal, quoted
from adventure.core.streams import Stream
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.common.staged_files import DELETED_ROWS

_WHOLE_NUMBERS = ("SMALLINT", "INTEGER", "BIGINT")


def write_tombstones(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    table: dict[str, str],
    path: str,
    label: str,
    loaded_at: object,
) -> int:
    """Append a tombstone for each line of a `deletes.ndjson.gz` and return their number.

    Args:
        table: the raw table's columns with their types.
        label: the value of `_file`.

    Raises:
        SchemaDrift: a key is missing, or is no value of its column's type.
    """
    kinds = {name.lower(): kind for name, kind in table.items()}
    for key in stream.key:
        # Every key of a document is text.
        _check_key(connection, stream, key, "JSON" if stream.documents else kinds.get(key.lower()), path, label)
    # A cursor that is part of the key keeps its value, which identifies the row; the later load makes the tombstone the
    # latest version.
    cursor = () if stream.cursor in stream.key else (stream.cursor,)
    if stream.documents:
        texts = ", ".join(f"{literal(key)}, key[{literal(key)}]" for key in stream.key)
        members = {key: f"key[{literal(key)}]" for key in stream.key if "." not in key}
        members |= dict.fromkeys(cursor, "strftime(deleted_at, '%Y-%m-%dT%H:%M:%S.%fZ')")
        names, columns = "raw", _json_object({KEY_TEXTS: f"json_object({texts})"} | members)
        values = []
    else:
        names = ", ".join(map(quoted, (*stream.key, *cursor)))
        columns = ", ".join(
            [f"cast(key[?] as {kinds[key.lower()]})" for key in stream.key] + ["deleted_at"] * len(cursor)
        )
        values = list(stream.key)
    found = connection.execute(
        f"insert into {DUCKDB.raw_table(stream)} ({names}, _file, _file_row, _loaded_at, _deleted_at)"
        f" select {columns}, ?, row_number() over () - 1, ?, deleted_at from {DELETED_ROWS}",
        [*values, label, loaded_at, path],
    ).fetchone()
    return int(found[0]) if found else 0


def write_missing(
    connection: duckdb.DuckDBPyConnection, stream: Stream, table: dict[str, str], window: Window, loaded_at: object
) -> int:
    """Append a tombstone for each live key that is not in the window, which holds all rows of the table.

    A key whose row the window rejects stays as it is. The window's end is later than the cursors of all windows before.

    Args:
        table: the raw table's columns with their types.

    Returns:
        The number of tombstones.
    """
    label = f"{window.stage}/{window.id}/"
    target = DUCKDB.raw_table(stream)
    others = f"select 1 from {target} where not starts_with(_file, ?) limit 1"
    if connection.execute(others, [label]).fetchone() is None:
        return 0
    kinds = {name.lower(): kind for name, kind in table.items()}
    # PostgreSQL prints char(n) without its padding.
    texts = ", ".join(
        f"rtrim(latest.{quoted(key)}, ' ')"
        if kinds[key.lower()] == "VARCHAR"
        else DUCKDB.plain_text(f"latest.{quoted(key)}", kinds[key.lower()])
        for key in stream.key
    )
    names = ", ".join(map(quoted, (*stream.key, stream.cursor)))
    keys = ", ".join(f"latest.{quoted(key)}" for key in stream.key)
    found = connection.execute(
        f"insert into {target} ({names}, _file, _file_row, _loaded_at, _deleted_at)"
        f" select {keys}, $at::timestamp, $file, row_number() over () - 1, $loaded_at, $at"
        f" from ({DUCKDB.latest(stream)}) as latest where not starts_with(_file, $label) and not exists ("
        "select 1 from raw_ext.rejected_rows as rejected"
        f" where starts_with(rejected._file, $label) and rtrim(rejected.key, ' ') = concat_ws(',', {texts}))",
        {
            "at": window.high - timedelta(microseconds=1),
            "file": label + DELETES,
            "loaded_at": loaded_at,
            "label": label,
        },
    ).fetchone()
    return int(found[0]) if found else 0


def _json_object(members: dict[str, str]) -> str:
    """Return the SQL of a JSON object. A member such as `meta.updatedAt` becomes a member of a nested object."""
    inner: dict[str, dict[str, str]] = {}
    parts = []
    for name, value in members.items():
        first, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(first, {})[rest] = value
        else:
            parts.append(f"{literal(name)}, {value}")
    parts += [f"{literal(name)}, {_json_object(within)}" for name, within in inner.items()]
    return f"json_object({', '.join(parts)})"


def _check_key(
    connection: duckdb.DuckDBPyConnection, stream: Stream, key: str, kind: str | None, path: str, label: str
) -> None:
    """Reject tombstones whose key does not cast to its column's type: they would delete nothing, or the wrong row.

    Args:
        kind: the column's type; None if the table has no such column.

    Raises:
        SchemaDrift: a key is missing, or is no value of its column's type.
    """
    problem = f"{stream.raw_table} has no column {key}"
    if kind is not None:
        # A cast to a whole number rounds.
        whole = " or not regexp_full_match(text, '-?[0-9]+')" if kind in _WHOLE_NUMBERS else ""
        cast = "" if kind == "JSON" else f" or try_cast(text as {kind}) is null"
        count, example = connection.execute(
            f"select count(*), any_value(coalesce(text, 'none'))"
            f" from (select key[?] as text, deleted_at from {DELETED_ROWS})"
            f" where text is null or deleted_at is null{cast}{whole}",
            [key, path],
        ).fetchone()  # type: ignore[misc]
        if not count:
            return
        problem = f"{count:,} of its keys are no value of {key} in {stream.raw_table} ({kind}), such as {example!r}"
    raise SchemaDrift(
        f"{stream.name}: the deleted rows in {label} do not fit: {problem}; nothing of the window was loaded",
        "Give the key's columns the names and types again with which their rows were loaded",
    )
