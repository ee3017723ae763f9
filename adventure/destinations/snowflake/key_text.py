"""A stream's key as text and its cursor as microseconds since 1970, in Snowflake's SQL.

As `adventure.core.key_kinds` describes them, so that both sides of a comparison hash the same text. What Snowflake
prints by itself depends on the session's formats, hence a format wherever there is one.
"""

from collections.abc import Mapping, Sequence

from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream

_KINDS = {"NUMBER": "number", "BINARY": "bytes", "TEXT": "padded"}
"""How a column of the raw table prints as PostgreSQL does, whose char(n) has no blanks at its end."""

_MOMENT = "YYYY-MM-DD HH24:MI:SS.FF6"


def expressions(stream: Stream, kinds: Sequence[str], held: Mapping[str, str]) -> tuple[str, str]:
    """The key's text and the cursor, over the raw table.

    Args:
        kinds: how each key column becomes text.
        held: the raw table's columns, in upper case, with their types.
    """
    parts = [part(stream, column, kind, held) for column, kind in zip(stream.key, kinds, strict=True)]
    if stream.documents:
        return _joined(parts), micros(document_moment(stream))
    return _joined(parts), micros(field(stream, stream.cursor))


def part(stream: Stream, column: str, kind: str, held: Mapping[str, str]) -> str:
    """One column of the key, as both sides render it."""
    name = key_field(stream, column)
    if kind == "number":
        return without_zeros(f"{name}::varchar")
    if kind == "padded":
        return f"rtrim({name}, ' ')"
    if kind == "bytes":
        return rf"'\\x' || lower(hex_encode({name}))"
    if held.get(column.upper()) == "TIMESTAMP_NTZ":
        return without_zeros(f"to_char({name}, '{_MOMENT}')")
    return printed(stream, column, held)


def printed(stream: Stream, column: str, held: Mapping[str, str]) -> str:
    """One column of the key, as text that a cast to its type takes back."""
    name = key_field(stream, column)
    formats = {"TIMESTAMP_NTZ": f"'{_MOMENT}'", "DATE": "'YYYY-MM-DD'"}
    kind = held.get(column.upper(), "")
    if kind in formats:
        return f"to_char({name}, {formats[kind]})"
    return f"hex_encode({name})" if kind == "BINARY" else f"{name}::varchar"


def field(stream: Stream, name: str) -> str:
    """A key or the cursor in the raw table: a column, whose name is in upper case, or a field of the document."""
    if not stream.documents:
        return quoted(name.upper())
    value = "raw"
    for member in name.split("."):
        value = f"get({value}, {literal(member)})"
    return f"{value}::varchar"


def key_field(stream: Stream, name: str) -> str:
    """A field of the key, as text that tells its kind; see `adventure.core.manifest.KEY_TEXTS`."""
    if not stream.documents:
        return field(stream, name)
    return f"coalesce(get(get(raw, {literal(KEY_TEXTS)}), {literal(name)})::varchar, {field(stream, name)})"


def document_moment(stream: Stream) -> str:
    """The document's cursor as a moment with a zone."""
    added = f"get(raw, {literal(CURSOR_TEXT)})::varchar"
    return f"try_cast(coalesce({added}, {field(stream, stream.cursor)}) as timestamp_tz)"


def rejected_key(stream: Stream, held: Mapping[str, str]) -> tuple[str, str]:
    """Return the key's text over the raw table, and over `raw_ext.rejected_rows as rejects`, where parts are joined by
    commas.

    Args:
        held: the raw table's columns, in upper case, with their types.
    """
    if stream.documents:
        return " || ',' || ".join(key_field(stream, column) for column in stream.key), "rejects.key"
    kinds = [_KINDS.get(held.get(column.upper(), ""), "plain") for column in stream.key]
    key = " || ',' || ".join(part(stream, column, kind, held) for column, kind in zip(stream.key, kinds, strict=True))
    rejected = {"number": without_zeros("rejects.key"), "padded": "rtrim(rejects.key, ' ')"}
    return key, rejected.get(kinds[0], "rejects.key") if len(kinds) == 1 else "rejects.key"


def micros(moment: str) -> str:
    """Microseconds since 1970 of a timestamp."""
    return f"date_part(epoch_microsecond, {moment})"


def without_zeros(text: str) -> str:
    """A number's text, or a time's, without zeros at the end of its fraction."""
    return f"case when contains({text}, '.') then regexp_replace({text}, '[.]?0+$', '') else {text} end"


def raw_table(stream: Stream) -> str:
    """Its name as SQL: in upper case, as if it were written unquoted."""
    return ".".join(quoted(name.upper()) for name in stream.raw_table.split(".", 1))


def quoted(name: str) -> str:
    """Exactly this name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as an SQL literal, in which a backslash is a sign of its own."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return " || ".join(f"length({part}) || ':' || {part}" for part in parts)
