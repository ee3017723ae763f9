"""Staged types in DuckDB, and whether a staged column fits a raw table's."""

import re

from adventure.core.errors import SchemaDrift
from adventure.core.manifest import Window
from adventure.core.stage import stage_again
from adventure.core.streams import Stream

META_COLUMNS = {"_file": "VARCHAR", "_file_row": "BIGINT", "_loaded_at": "TIMESTAMP", "_deleted_at": "TIMESTAMP"}
"""What a raw table has beside its source's columns. `_deleted_at` is NULL but in a tombstone."""

LARGEST_DOCUMENT = 64 << 20
"""Bytes. MongoDB's limit is 16 MB of BSON, which JSON may write longer."""

_TYPES = {
    "bool": "BOOLEAN",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
    "json": "JSON",
}
_WIDER = {"SMALLINT": ("INTEGER", "BIGINT"), "INTEGER": ("BIGINT",), "FLOAT": ("DOUBLE",)}
_INTEGER_DIGITS = {"SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}


def duckdb_type(staged: str) -> str:
    """DuckDB's type for a column's type in window.json."""
    if decimal := re.fullmatch(r"decimal128\((\d+), (\d+)\)", staged):
        return f"DECIMAL({decimal[1]},{decimal[2]})"
    return _TYPES[staged]


def changes(window: Window, stream: Stream, table: dict[str, str]) -> list[str]:
    """What has to be done to the raw table before the window fits, as ends of an `alter table`.

    A column that the window lacks stays, and is NULL in its rows.

    Args:
        table: the raw table's columns with their types.

    Raises:
        SchemaDrift: a column's type changed to one that cannot hold what the table holds, or the other way round.
    """
    statements = []
    known = {name.lower(): kind for name, kind in table.items()}
    seen: set[str] = set()
    for column in window.columns:
        name, staged = column.name.lower(), duckdb_type(column.type)
        if name in META_COLUMNS or name in seen:
            raise SchemaDrift(
                f"{stream.name}: window {window.id} has a column {column.name}, and {stream.raw_table} already has one"
                " of that name (case does not matter)",
                f"Rename it at the source; then run {stage_again(stream, window.id)}",
            )
        seen.add(name)
        if name not in known:
            statements.append(f"add column {quoted(column.name)} {staged}")
        elif known[name] != staged and (wider := _common(known[name], staged)) != known[name]:
            if wider is None:
                raise SchemaDrift(
                    f"{stream.name}: column {column.name} is staged as {staged} in window {window.id}, and no longer"
                    f" fits {stream.raw_table}, where it is {known[name]}; nothing of the window was loaded",
                    f"Rename the old column there (alter table {stream.raw_table} rename {quoted(column.name)} to …)"
                    " and run the task again: the new one is added. Or, where types in pipeline.toml is the reason,"
                    f" correct it, start the processor again, and run {stage_again(stream, window.id)}",
                )
            statements.append(f"alter column {quoted(column.name)} type {wider}")
    statements += [f"add column {name} {kind}" for name, kind in META_COLUMNS.items() if known and name not in known]
    return statements


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _common(held: str, staged: str) -> str | None:
    """The narrower of the types that hold every value of both, exactly; None if there is none."""
    if held == staged or held in _WIDER.get(staged, ()):
        return held
    if staged in _WIDER.get(held, ()):
        return staged
    one, other = _digits(held), _digits(staged)
    if one is None or other is None:
        return None
    whole, scale = max(one[0], other[0]), max(one[1], other[1])
    if (whole, scale) == one:
        return held
    return f"DECIMAL({whole + scale},{scale})" if whole + scale <= 38 else None


def _digits(kind: str) -> tuple[int, int] | None:
    """Digits before and after the point."""
    if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return int(decimal[1]) - int(decimal[2]), int(decimal[2])
    return (_INTEGER_DIGITS[kind], 0) if kind in _INTEGER_DIGITS else None
