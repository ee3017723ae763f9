"""Identifiers, literals and JSON paths as SQL text."""


def quoted(*names: str) -> str:
    """Return an identifier in double quotes; several names, such as a schema and a table, are joined by dots."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str, *, backslash_escapes: bool = False) -> str:
    """Return a string literal.

    Args:
        backslash_escapes: True where the server reads a backslash in a literal as an escape, as Snowflake does.
    """
    return "'" + (text.replace("\\", "\\\\") if backslash_escapes else text).replace("'", "''") + "'"


def json_path(*members: str) -> str:
    """Return the JSON path of a member, such as `$."meta"."updatedAt"`."""
    return "$" + "".join('."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in members)
