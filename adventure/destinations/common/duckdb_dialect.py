"""Keys and cursors in DuckDB's SQL, which reads raw tables in DuckDB and the staged files of every warehouse."""

from typing import ClassVar

from adventure.core.sql_text import json_path, literal, quoted
from adventure.destinations.common.dialect import Dialect


class DuckDBDialect(Dialect):
    """See `Dialect`. The same expressions read a staged file."""

    key_kinds: ClassVar = {"DECIMAL": "number", "BLOB": "bytes", "VARCHAR": "padded"}
    zoned_timestamp = "timestamptz"

    def column(self, name: str) -> str:
        """Return the name as it is spelled."""
        return quoted(name)

    def literal(self, text: str) -> str:
        """Return a string literal."""
        return literal(text)

    def member(self, document: str, *path: str) -> str:
        """Return a member of a JSON value as text."""
        return f"json_extract_string({document}, {literal(json_path(*path))})"

    def parsed(self, text: str) -> str:
        """Return the text itself: DuckDB's JSON functions parse text."""
        return text

    def is_json(self, text: str) -> str:
        """Return the condition that a text is valid JSON."""
        return f"json_valid({text})"

    def micros(self, moment: str) -> str:
        """Return a timestamp as microseconds since 1970."""
        return f"epoch_us({moment})"

    def naive_utc(self, moment: str) -> str:
        """Return a timestamp with a zone as a timestamp without one, in UTC."""
        return f"{moment} at time zone 'UTC'"

    def hexadecimal(self, value: str) -> str:
        """Return binary as hexadecimal digits."""
        return f"hex({value})"

    def without_zeros(self, text: str) -> str:
        """Return a number's text without trailing zeros in its fraction."""
        return f"regexp_replace(regexp_replace({text}, '(\\.[0-9]*?)0+$', '\\1'), '\\.$', '')"


DUCKDB = DuckDBDialect()
