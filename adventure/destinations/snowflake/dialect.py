"""Keys and cursors in Snowflake's SQL.

Snowflake prints dates and times in the session's formats, so every conversion to text names its format.
"""

from typing import ClassVar

from adventure.core.sql_text import literal, quoted
from adventure.destinations.common.dialect import Dialect

_TIMESTAMP = "YYYY-MM-DD HH24:MI:SS.FF6"


class SnowflakeDialect(Dialect):
    """See `Dialect`."""

    key_kinds: ClassVar = {"NUMBER": "number", "BINARY": "bytes", "TEXT": "padded"}
    zoned_timestamp = "timestamp_tz"

    def column(self, name: str) -> str:
        """Return the name in upper case, as Snowflake stores a name that is not quoted."""
        return quoted(name.upper())

    def literal(self, text: str) -> str:
        """Return a string literal."""
        return literal(text, backslash_escapes=True)

    def member(self, document: str, *path: str) -> str:
        """Return a member of a JSON value as text."""
        for name in path:
            document = f"get({document}, {self.literal(name)})"
        return f"{document}::varchar"

    def parsed(self, text: str) -> str:
        """Return a text as a JSON value."""
        return f"try_parse_json({text})"

    def is_json(self, text: str) -> str:
        """Return the condition that a text is valid JSON."""
        return f"try_parse_json({text}) is not null"

    def micros(self, moment: str) -> str:
        """Return a timestamp as microseconds since 1970."""
        return f"date_part(epoch_microsecond, {moment})"

    def naive_utc(self, moment: str) -> str:
        """Return a timestamp with a zone as a timestamp without one, in UTC."""
        return f"cast(convert_timezone('UTC', {moment}) as timestamp_ntz)"

    def hexadecimal(self, value: str) -> str:
        """Return binary as hexadecimal digits."""
        return f"hex_encode({value})"

    def without_zeros(self, text: str) -> str:
        """Return a number's or a time's text without trailing zeros in its fraction."""
        return f"case when contains({text}, '.') then regexp_replace({text}, '[.]?0+$', '') else {text} end"

    def plain_text(self, value: str, kind: str) -> str:
        """Return a key column as PostgreSQL prints it, a timestamp without trailing zeros."""
        text = self.castable_text(value, kind)
        return self.without_zeros(text) if kind == "TIMESTAMP_NTZ" else text

    def castable_text(self, value: str, kind: str) -> str:
        """Return a column as text that a cast to its type reads back."""
        if kind == "TIMESTAMP_NTZ":
            return f"to_char({value}, '{_TIMESTAMP}')"
        if kind == "DATE":
            return f"to_char({value}, 'YYYY-MM-DD')"
        return self.hexadecimal(value) if kind == "BINARY" else f"{value}::varchar"


SNOWFLAKE = SnowflakeDialect()
