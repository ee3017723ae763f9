"""SQL for the rows whose keys the log has."""

from collections.abc import Iterable, Sequence

from psycopg import sql

from adventure.core.sql_text import quoted
from adventure.sources.postgres.log.pgoutput import Key


def has_key(names: Sequence[str], types: Sequence[str], keys: Iterable[Key], alias: str = "t") -> str:
    """Return the condition that a row has one of these keys."""
    columns = ", ".join(f"{alias}.{quoted(name)}" for name in names)
    return f"({columns}) in (select {_typed(types)} from {_table(keys, len(names))})"


def missing_keys(table: str, names: Sequence[str], types: Sequence[str], keys: Iterable[Key]) -> str:
    """Return the query for those of the keys, as text, that no row of the table has."""
    values = ", ".join(f"k.k{number} as k{number}" for number, _ in enumerate(names))
    equal = " and ".join(
        f"t.{quoted(name)} = k.k{number}::{kind}" for number, (name, kind) in enumerate(zip(names, types, strict=True))
    )
    return f"select {values} from {_table(keys, len(names))} where not exists (select from {table} as t where {equal})"


def _typed(types: Sequence[str]) -> str:
    return ", ".join(f"k.k{number}::{kind}" for number, kind in enumerate(types))


def _table(keys: Iterable[Key], width: int) -> str:
    columns = list(zip(*keys, strict=True)) or [()] * width
    arrays = ", ".join(f"{_array(column)}::text[]" for column in columns)
    return f"unnest({arrays}) as k ({', '.join(f'k{number}' for number in range(width))})"


def _array(values: Iterable[str | None]) -> str:
    """Return an array as a literal, in which the server finds no syntax to misread."""
    escaped = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    inner = ",".join(f'"{value}"' for value in escaped)
    return sql.Literal("{" + inner + "}").as_string(None)
