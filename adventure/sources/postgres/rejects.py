"""Fetch the rows that cannot be converted exactly, whole and as JSON, for the rejects file."""

import base64
from collections.abc import Iterable, Iterator

import pyarrow as pa

from adventure.core.files import Reject
from adventure.core.sql_text import quoted
from adventure.sources.postgres.plan import Plan


def rejected_rows_query(plan: Plan, condition: str, *, utf8: bool) -> str:
    """Each such row under the condition: its key, itself as JSON, and which of `Plan.guards` are true of it.

    Args:
        utf8: whether the server sees to it that text is UTF-8; bytes are asked for where it does not.
    """
    key = ", ".join(f"t.{quoted(name)}::text" for name in plan.stream.key)
    texts = (f"array_to_string(array[{key}], ',', 'NULL')", "row_to_json(t.*)::text")
    if not utf8:
        texts = (f"convert_to({texts[0]}, 'SQL_ASCII')", f"convert_to({texts[1]}, 'SQL_ASCII')")
    found = ", ".join(f"coalesce({guard}, false)" for guard, _ in plan.guards)
    return (
        f"select {', '.join(texts)}, {found} from {plan.table} as t"
        f" where ({condition}) and ({' or '.join(guard for guard, _ in plan.guards)})"
    )


def rejects_of(plan: Plan, batches: Iterable[pa.RecordBatch]) -> Iterator[Reject]:
    """What that query gives, each row with its reasons."""
    for batch in batches:
        for key, row, *rejected in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            reasons = [reason for is_rejected, (_, reason) in zip(rejected, plan.guards, strict=True) if is_rejected]
            yield Reject(_text(key, "backslashreplace"), "; ".join(reasons), _text(row))


def _text(printed: str | bytes, errors: str = "") -> str:
    """As text: what is not UTF-8 in base64, or with its bytes written out."""
    if isinstance(printed, str):
        return printed
    try:
        return printed.decode()
    except UnicodeDecodeError:
        return printed.decode(errors=errors) if errors else base64.b64encode(printed).decode()
