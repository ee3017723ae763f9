"""Compute the text of a whole row in PostgreSQL's SQL; see `adventure.core.row_text`."""

import pyarrow as pa
from psycopg import sql

from adventure.core.row_text import RowColumn, RowKind
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.shape import added_columns


def row_columns(plan: Plan) -> tuple[RowColumn, ...]:
    """Return how each column of the plan becomes text, by its staged type."""
    return tuple(
        RowColumn(column.name, _kind(column.type, plan.type_names[column.name]))
        for column in plan.columns
        if column.name not in dict(added_columns(plan.stream))
    )


def row_hash(columns: tuple[RowColumn, ...]) -> sql.Composable:
    """Return the SQL for the row's hash, over a table with the alias t."""
    parts = [_part(column) for column in columns]
    # Concatenate with ||, because concat_ws takes at most 100 arguments.
    text = sql.SQL(" || ").join(sql.SQL("coalesce(length({0}) || ':' || {0}, '-')").format(part) for part in parts)
    return sql.SQL("md5(convert_to({}, 'UTF8'))").format(text)


def _kind(staged: pa.DataType, type_name: str) -> RowKind:
    if type_name == "bpchar":
        return "padded"
    if pa.types.is_decimal(staged):
        return "number"
    if pa.types.is_binary(staged):
        return "bytes"
    if pa.types.is_date(staged):
        return "day"
    if pa.types.is_timestamp(staged):
        return "moment"
    return "float" if pa.types.is_floating(staged) else "plain"


_TEXTS: dict[RowKind, str] = {
    "plain": "{}::text",
    "padded": "rtrim({}::text, ' ')",
    "number": "trim_scale({})::text",
    "bytes": "encode({}, 'hex')",
    # Infinite values were rejected and are not compared. Here they only must not cause an error.
    "day": "case when isfinite({0}) then ({0} - date '1970-01-01')::text else {0}::text end",
    "moment": "case when isfinite({0}) then (extract(epoch from {0}) * 1000000)::bigint::text else {0}::text end",
    "float": (
        "case when {0} in ('NaN', 'Infinity', '-Infinity') then lower({0}::text)"
        " else ltrim(to_char({0}::float8 + 0, '9.9999999999999999EEEE')) end"
    ),
}


def _part(column: RowColumn) -> sql.Composable:
    return sql.SQL(_TEXTS[column.kind]).format(sql.Identifier("t", column.name))
