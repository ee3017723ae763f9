"""The text of a whole row in DuckDB's SQL; see `adventure.core.row_text`."""

from collections.abc import Collection, Sequence

from adventure.core.row_text import RowColumn
from adventure.destinations.duckdb.columns import quoted
from adventure.destinations.duckdb.key_text import part

_TEXTS = {
    "plain": "{}::varchar",
    "padded": "rtrim({}, ' ')",
    "bytes": "lower(hex({}))",
    "day": "({} - date '1970-01-01')::varchar",
    "moment": "epoch_us({})::varchar",
    "float": (
        "case when isnan({0}) then 'nan' when isinf({0}) then if({0} > 0, 'infinity', '-infinity')"
        " else printf('%.16e', {0}::double + 0) end"
    ),
    "document": "{}::varchar",
}


def row_hash(columns: Sequence[RowColumn], held: Collection[str]) -> str:
    """Return the SQL of the row's hash over the raw table.

    Args:
        held: the raw table's columns in lower case. One that it lacks is NULL.
    """
    if [column.kind for column in columns] == ["document"]:
        return "md5(raw::varchar)"
    texts = [_text(column) if column.name.lower() in held else "null::varchar" for column in columns]
    return "md5(" + " || ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts) + ")"


def _text(column: RowColumn) -> str:
    if column.kind == "number":
        return part(column.name, "number")
    return _TEXTS[column.kind].format(quoted(column.name))
