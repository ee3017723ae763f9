"""Fetch the rows that cannot be converted exactly, as JSON, for the rejects file."""

import base64
from collections.abc import Iterable, Iterator

import pyarrow as pa

from adventure.core.files import Reject
from adventure.core.sql_text import quoted
from adventure.sources.postgres.plan import Plan


def rejected_rows_query(plan: Plan, condition: str, *, utf8: bool) -> str:
    """Return the query for such rows under a condition: key, row as JSON, and a boolean for each of `Plan.guards`.

    Args:
        utf8: whether the server guarantees that text is UTF-8; if not, the query returns bytes.
    """
    key = ", ".join(f"t.{quoted(name)}::text" for name in plan.stream.key)
    texts = (f"array_to_string(array[{key}], ',', 'NULL')", "row_to_json(t.*)::text")
    if not utf8:
        texts = (f"convert_to({texts[0]}, 'SQL_ASCII')", f"convert_to({texts[1]}, 'SQL_ASCII')")
    found = ", ".join(f"coalesce({guard}, false)" for guard, _ in plan.guards)
    return (
        f"select {', '.join(texts)}, {found} from {plan.relation} as t"
        f" where ({condition}) and ({' or '.join(guard for guard, _ in plan.guards)})"
    )


def rejects_of(plan: Plan, batches: Iterable[pa.RecordBatch]) -> Iterator[Reject]:
    """Yield a Reject, with its reasons, for each row of the query's result."""
    for batch in batches:
        for key, row, *rejected in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            reasons = [reason for is_rejected, (_, reason) in zip(rejected, plan.guards, strict=True) if is_rejected]
            yield Reject(_text(key, "backslashreplace"), "; ".join(reasons), _text(row))


def _text(printed: str | bytes, errors: str = "") -> str:
    """Return the text. Bytes that are not UTF-8 are handled as `errors` says, or returned as base64 if it is empty."""
    if isinstance(printed, str):
        return printed
    try:
        return printed.decode()
    except UnicodeDecodeError:
        return printed.decode(errors=errors) if errors else base64.b64encode(printed).decode()
