"""How a warehouse's SQL reads keys and cursors from a raw table.

Keys become text as `adventure.core.key_kinds` describes, so that source and warehouse hash the same text. A warehouse
overrides the functions and type names that differ.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream
from adventure.destinations.warehouse import WITHOUT_CURSOR, Execute


def columns_of(execute: Execute, stream: Stream) -> dict[str, str]:
    """Return the raw table's columns with their types; empty when there is no such table."""
    schema, _, table = stream.raw_table.partition(".")
    rows = execute(
        "select column_name, data_type from information_schema.columns"
        " where lower(table_schema) = lower(?) and lower(table_name) = lower(?)",
        [schema, table],
    )
    return {str(name): str(kind) for name, kind in rows}


def loaded_columns_of(execute: Execute, stream: Stream) -> dict[str, str]:
    """Return the raw table's columns with their types; empty until it has those of the stream's key.

    The raw tables of the shipped streams exist before a load. A stream of another table that loads into one of them
    adds its columns with its first load.
    """
    types = columns_of(execute, stream)
    needed = set() if stream.documents else {name.lower() for name in stream.key}
    return types if needed <= {name.lower() for name in types} else {}


def joined(parts: Sequence[str]) -> str:
    """Return the SQL of a key's text; `adventure.core.key_kinds.joined_key` is the same in Python."""
    if len(parts) == 1:
        return parts[0]
    return " || ".join(f"length({part}) || ':' || {part}" for part in parts)


class Dialect(ABC):
    """Expressions over a raw table. `types` are the raw table's columns with their types, as `columns_of` returns."""

    key_kinds: ClassVar[Mapping[str, str]]
    """The key kind of a column by its type without parameters. PostgreSQL prints char(n) without trailing blanks, so
    text is `padded`."""
    zoned_timestamp: ClassVar[str]
    """The type of a timestamp with a zone."""

    @abstractmethod
    def column(self, name: str) -> str:
        """Return a raw table's column, or a part of its name, as an identifier."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """Return a string literal."""

    @abstractmethod
    def member(self, document: str, *path: str) -> str:
        """Return a member of a JSON value as text."""

    @abstractmethod
    def parsed(self, text: str) -> str:
        """Return a text as the JSON value that `member` reads."""

    @abstractmethod
    def is_json(self, text: str) -> str:
        """Return the condition that a text is valid JSON."""

    @abstractmethod
    def micros(self, moment: str) -> str:
        """Return a timestamp as microseconds since 1970."""

    @abstractmethod
    def naive_utc(self, moment: str) -> str:
        """Return a timestamp with a zone as a timestamp without one, in UTC."""

    @abstractmethod
    def hexadecimal(self, value: str) -> str:
        """Return binary as hexadecimal digits."""

    @abstractmethod
    def without_zeros(self, text: str) -> str:
        """Return a number's text without trailing zeros in its fraction."""

    def plain_text(self, value: str, kind: str) -> str:
        """Return a key column as PostgreSQL prints it.

        Args:
            kind: the column's type.
        """
        return self.castable_text(value, kind)

    def castable_text(self, value: str, kind: str) -> str:
        """Return a column as text that a cast to its type reads back."""
        return f"{value}::varchar"

    def raw_table(self, stream: Stream) -> str:
        """Return the raw table's name."""
        return ".".join(map(self.column, stream.raw_table.split(".", 1)))

    def latest(self, stream: Stream) -> str:
        """Return the query for the latest version of each row, without deleted rows, as the base models choose it."""
        keys = ", ".join(self.key_value(stream, name) for name in stream.key)
        return (
            f"select * from (select * from {self.raw_table(stream)} qualify row_number() over (partition by {keys}"
            f" order by coalesce(_deleted_at, {self.naive_cursor(stream)}) desc nulls last, _loaded_at desc,"
            " _deleted_at desc nulls last) = 1) as latest where _deleted_at is null"
        )

    def key(self, stream: Stream, kinds: Sequence[str], types: Mapping[str, str]) -> str:
        """Return the key's text.

        Args:
            kinds: how each key column becomes text.
        """
        return joined(self._key_texts(stream, kinds, types))

    def cursor(self, stream: Stream) -> str:
        """Return the cursor as microseconds since 1970."""
        if stream.documents:
            return self.micros(self._document_cursor(stream))
        return self.micros(self.column(stream.cursor))

    def naive_cursor(self, stream: Stream) -> str:
        """Return the cursor as a timestamp without a zone, in UTC."""
        if stream.documents:
            return self.naive_utc(self._document_cursor(stream))
        return self.column(stream.cursor)

    def key_value(self, stream: Stream, name: str) -> str:
        """Return a key column, or the text of a document's key field."""
        if not stream.documents:
            return self.column(name)
        # `_adventure_key` has the text of keys whose kind the document's own value does not show.
        return f"coalesce({self.member('raw', KEY_TEXTS, name)}, {self.member('raw', *name.split('.'))})"

    def castable_key(self, stream: Stream, types: Mapping[str, str]) -> list[str]:
        """Return each key column as text that a cast to its type reads back."""
        kinds = _by_lower_name(types)
        return [self.castable_text(self.key_value(stream, name), kinds.get(name.lower(), "")) for name in stream.key]

    def rejected_key(self, stream: Stream, types: Mapping[str, str]) -> tuple[str, str]:
        """Return the key's text over the raw table, and over `raw_ext.rejected_rows as rejects`.

        The parts of a rejected row's key are joined by commas.
        """
        names = _by_lower_name(types)
        if stream.documents:
            kinds = ["document"] * len(stream.key)
        else:
            kinds = [self.key_kinds.get(names.get(name.lower(), "").partition("(")[0], "plain") for name in stream.key]
        key = " || ',' || ".join(self._key_texts(stream, kinds, types))
        rejected = {"number": self.without_zeros("rejects.key"), "padded": "rtrim(rejects.key, ' ')"}
        return key, rejected.get(kinds[0], "rejects.key") if len(kinds) == 1 else "rejects.key"

    def rejected_versions(self, stream: Stream, kinds: Sequence[str]) -> str:
        """Return a query of the keys and cursors of the rejected rows, with a placeholder for the stream's name.

        The cursor is NULL where the rejected row is a document that could not be decoded.
        """
        key = self.without_zeros("key") if tuple(kinds) == ("number",) else "key"
        path = stream.cursor.split(".") if stream.documents else [stream.cursor]
        row = '"ROW"'
        moment = f"try_cast({self.member(self.parsed(row), *path)} as {self.zoned_timestamp})"
        return (
            f"select {key} as key, case when {self.is_json(row)} then coalesce({self.micros(moment)}, {WITHOUT_CURSOR})"
            " end as cursor from raw_ext.rejected_rows where stream = ?"
        )

    def _key_texts(self, stream: Stream, kinds: Sequence[str], types: Mapping[str, str]) -> list[str]:
        names = _by_lower_name(types)
        return [
            self._key_text(self.key_value(stream, name), kind, names.get(name.lower(), ""))
            for name, kind in zip(stream.key, kinds, strict=True)
        ]

    def _key_text(self, value: str, key_kind: str, kind: str) -> str:
        if key_kind == "number":
            return self.without_zeros(f"{value}::varchar")
        if key_kind == "padded":
            return f"rtrim({value}, ' ')"
        if key_kind == "bytes":
            prefix = self.literal("\\x")
            return f"{prefix} || lower({self.hexadecimal(value)})"
        return self.plain_text(value, kind)

    def _document_cursor(self, stream: Stream) -> str:
        added, own = self.member("raw", CURSOR_TEXT), self.member("raw", *stream.cursor.split("."))
        return f"try_cast(coalesce({added}, {own}) as {self.zoned_timestamp})"


def _by_lower_name(types: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): kind for name, kind in types.items()}
