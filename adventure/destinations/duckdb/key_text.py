"""A stream's key as text and its cursor as microseconds since 1970, in DuckDB's SQL.

As `adventure.core.key_kinds` describes them, so that both sides of a comparison hash the same text.
"""

from collections.abc import Mapping, Sequence

from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream
from adventure.destinations.duckdb.columns import quoted

_KINDS = {"DECIMAL": "number", "BLOB": "bytes", "VARCHAR": "padded"}
"""How a column of the raw table prints as PostgreSQL does, whose char(n) has no blanks at its end."""


def expressions(stream: Stream, kinds: Sequence[str]) -> tuple[str, str]:
    """The key's text and the cursor, over the raw table or a staged file.

    Args:
        kinds: how each key column becomes text.
    """
    parts = [part(column, kind) for column, kind in zip(stream.key, kinds, strict=True)]
    if stream.documents:
        return joined(parts), f"epoch_us({document_moment(stream.cursor)})"
    return joined(parts), f"epoch_us({quoted(stream.cursor)})"


def part(column: str, kind: str) -> str:
    """One column of the key."""
    if kind == "document":
        # `_adventure_key` has the text where the document's own value does not tell which kind of key it is.
        carried = f"json_extract_string(raw, {literal('$' + _member(KEY_TEXTS) + _member(column))})"
        return f"coalesce({carried}, {document_field(column)})"
    name = quoted(column)
    if kind == "number":
        return without_zeros(f"{name}::varchar")
    if kind == "padded":
        return f"rtrim({name}, ' ')"
    if kind == "bytes":
        return f"'\\x' || lower(hex({name}))"
    return f"{name}::varchar"


def without_zeros(text: str) -> str:
    """A number's text without zeros at the end of its fraction."""
    return f"regexp_replace(regexp_replace({text}, '(\\.[0-9]*?)0+$', '\\1'), '\\.$', '')"


def rejected_key(stream: Stream, held: Mapping[str, str]) -> tuple[str, str]:
    """Return the key's text over the raw table, and over `raw_ext.rejected_rows as rejects`, where parts are joined by
    commas.

    Args:
        held: the raw table's columns with their types.
    """
    if stream.documents:
        return " || ',' || ".join(part(column, "document") for column in stream.key), "rejects.key"
    types = {name.lower(): kind.partition("(")[0] for name, kind in held.items()}
    kinds = [_KINDS.get(types.get(column.lower(), ""), "plain") for column in stream.key]
    key = " || ',' || ".join(part(column, kind) for column, kind in zip(stream.key, kinds, strict=True))
    rejected = {"number": without_zeros("rejects.key"), "padded": "rtrim(rejects.key, ' ')"}
    return key, rejected.get(kinds[0], "rejects.key") if len(kinds) == 1 else "rejects.key"


def joined(parts: Sequence[str]) -> str:
    """The parts of a key as one text."""
    if len(parts) == 1:
        return parts[0]
    return " || ".join(f"length({part}) || ':' || {part}" for part in parts)


def document_field(name: str) -> str:
    """The text of a field of the document in column `raw`; its name may be a path such as `meta.updatedAt`."""
    return f"json_extract_string(raw, {literal(path(name))})"


def document_moment(cursor: str) -> str:
    """The document's cursor as a moment with a zone."""
    added = f"json_extract_string(raw, {literal('$' + _member(CURSOR_TEXT))})"
    return f"try_cast(coalesce({added}, {document_field(cursor)}) as timestamptz)"


def path(name: str) -> str:
    """The JSON path of a field; see `document_field`."""
    return "$" + "".join(map(_member, name.split(".")))


def _member(name: str) -> str:
    return '."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def raw_table(stream: Stream) -> str:
    """Its name as SQL."""
    return ".".join(map(quoted, stream.raw_table.split(".", 1)))
