"""Rows that are gone at the source, as rows of the raw table: nothing is deleted there, so that what was, can be told.

A tombstone holds the row's key, `_deleted_at`, and the moment of the deletion as its cursor too, which makes it the
latest version of its key until the key comes back with a later one.
"""

import duckdb

from adventure.core.errors import SchemaDrift
from adventure.core.manifest import KEY_TEXTS
from adventure.core.streams import Stream
from adventure.destinations.duckdb.columns import quoted
from adventure.destinations.duckdb.key_text import literal

_LINES = "read_ndjson(?, columns = {key: 'map(varchar, varchar)', deleted_at: 'timestamp'})"
_WHOLE = ("SMALLINT", "INTEGER", "BIGINT")


def insert_tombstones(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    table: dict[str, str],
    path: str,
    label: str,
    loaded_at: object,
) -> int:
    """Appends a tombstone for each line of a `deletes.ndjson.gz`; the number of them.

    Args:
        table: the raw table's columns with their types.
        label: what stands in `_file`.

    Raises:
        SchemaDrift: a key is missing, or is no value of its column.
    """
    kinds = {name.lower(): kind for name, kind in table.items()}
    for key in stream.key:
        # In a document every key is text.
        _check_key(connection, stream, key, "JSON" if stream.documents else kinds.get(key.lower()), path, label)
    # Where the cursor is part of the key, it says which row; the later load makes it the latest.
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
    target = ".".join(map(quoted, stream.raw_table.split(".", 1)))
    found = connection.execute(
        f"insert into {target} ({names}, _file, _file_row, _loaded_at, _deleted_at)"
        f" select {columns}, ?, row_number() over () - 1, ?, deleted_at from {_LINES}",
        [*values, label, loaded_at, path],
    ).fetchone()
    return int(found[0]) if found else 0


def _json_object(members: dict[str, str]) -> str:
    """SQL of a JSON object. A member such as `meta.updatedAt` is one of an object within it."""
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
    """A tombstone with another key buries nothing, or the wrong row."""
    problem = f"{stream.raw_table} has no column {key}"
    if kind is not None:
        # A cast to a whole number would round.
        whole = " or not regexp_full_match(text, '-?[0-9]+')" if kind in _WHOLE else ""
        cast = "" if kind == "JSON" else f" or try_cast(text as {kind}) is null"
        count, example = connection.execute(
            f"select count(*), any_value(coalesce(text, 'none')) from (select key[?] as text, deleted_at from {_LINES})"
            f" where text is null or deleted_at is null{cast}{whole}",
            [key, path],
        ).fetchone()  # type: ignore[misc]
        if not count:
            return
        problem = f"{count:,} of its keys are no value of {key} in {stream.raw_table} ({kind}), such as {example!r}"
    raise SchemaDrift(
        f"{stream.name}: the deleted rows in {label} do not fit: {problem}; nothing of the window was loaded",
        "See that the key's columns still have the names and types with which their rows were loaded",
    )
