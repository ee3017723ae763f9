"""DuckDB's types of staged columns, and the changes that a raw table needs to hold them."""

import re

from adventure.core.errors import SchemaDrift
from adventure.core.manifest import Window
from adventure.core.sql_text import quoted
from adventure.core.stage import stage_again
from adventure.core.streams import Stream

META_COLUMNS = {"_file": "VARCHAR", "_file_row": "BIGINT", "_loaded_at": "TIMESTAMP", "_deleted_at": "TIMESTAMP"}
"""The columns of a raw table besides those of its source. `_deleted_at` is set in tombstones only."""

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
    """Return DuckDB's type for a column's type in window.json."""
    if decimal := re.fullmatch(r"decimal128\((\d+), (\d+)\)", staged):
        return f"DECIMAL({decimal[1]},{decimal[2]})"
    return _TYPES[staged]


def changes(window: Window, stream: Stream, table: dict[str, str]) -> list[str]:
    """Return the actions of the `alter table` statements after which the raw table holds the window's columns.

    A column that is missing in the window stays in the table and is NULL in the window's rows.

    Args:
        table: the raw table's columns with their types.

    Raises:
        SchemaDrift: no type holds both the table's and the window's values of a column exactly, or two names collide.
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
                    " and run the task again, which adds the new column. If `types` in pipeline.toml is the reason,"
                    f" correct it, restart the processor, and run {stage_again(stream, window.id)}",
                )
            statements.append(f"alter column {quoted(column.name)} type {wider}")
    statements += [f"add column {name} {kind}" for name, kind in META_COLUMNS.items() if known and name not in known]
    return statements


def _common(held: str, staged: str) -> str | None:
    """Return the narrowest type that holds every value of both types exactly; None if there is none."""
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
    """Return the number of digits before and after the point; None for a type that is no exact number."""
    if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
        return int(decimal[1]) - int(decimal[2]), int(decimal[2])
    return (_INTEGER_DIGITS[kind], 0) if kind in _INTEGER_DIGITS else None
