"""The hash of a whole row in DuckDB's SQL; see `adventure.core.row_text`."""

from collections.abc import Collection, Sequence

from adventure.core.row_text import RowColumn
from adventure.core.sql_text import quoted
from adventure.destinations.common.duckdb_dialect import DUCKDB

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
        held: the names of the raw table's columns in lower case. A missing column counts as NULL.
    """
    if [column.kind for column in columns] == ["document"]:
        return "md5(raw::varchar)"
    texts = [_text(column) if column.name.lower() in held else "null::varchar" for column in columns]
    return "md5(" + " || ".join(f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts) + ")"


def _text(column: RowColumn) -> str:
    if column.kind == "number":
        return DUCKDB.without_zeros(f"{quoted(column.name)}::varchar")
    return _TEXTS[column.kind].format(quoted(column.name))
