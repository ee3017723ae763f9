"""Run one bounded SELECT on the published tables in Snowflake, for `adventure query`.

A session in Snowflake cannot be made read-only, so the statement is sent as a subquery: Snowflake accepts nothing but a
query there. Refused is what could leave the subquery or act within it: a closing parenthesis too many, `;`, the flow
operator `->>`, which chains statements, and system functions.
"""

import re
from itertools import accumulate
from typing import Any

from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.destinations.select import Bounds, Selected, bounded
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.published import SCHEMA
from adventure.destinations.snowflake.refusals import translating_snowflake
from adventure.destinations.snowflake.session import connect_snowflake

_LEAVES = re.compile(r"->>|;")
_ACTS = re.compile(r"system\s*\$", re.IGNORECASE)
_OPAQUE = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"]|"")*" | \$\$.*?\$\$ | (?:--|//)[^\n\r]* | /\*.*?\*/""", re.DOTALL | re.VERBOSE
)
"""Texts, quoted names and comments: https://docs.snowflake.com/en/sql-reference/data-types-text"""
_TYPES = {
    0: "NUMBER",
    1: "FLOAT",
    2: "VARCHAR",
    3: "DATE",
    5: "VARIANT",
    6: "TIMESTAMP_LTZ",
    7: "TIMESTAMP_TZ",
    8: "TIMESTAMP_NTZ",
    9: "OBJECT",
    10: "ARRAY",
    11: "BINARY",
    12: "TIME",
    13: "BOOLEAN",
}
"""Names of the type codes in cursor.description, from the connector's manual."""


def select(settings: Settings, statement: str, bounds: Bounds) -> Selected:
    """Return the columns and the first rows of a SELECT, read by dbt's user in the schema DASHBOARD.

    Raises:
        AdventureError: the statement is refused or fails, nothing is published, or Snowflake does not answer.
    """
    query = statement.strip().rstrip("; \n")
    if not _is_inner(query):
        raise AdventureError(
            "Only one SELECT statement, without system functions and ->>, can be run", "Send one SELECT"
        )
    login = SnowflakeLogin.of_dbt(settings)
    timeout = None if bounds.seconds is None else max(1, round(bounds.seconds))
    connection = connect_snowflake(settings, login, schema=SCHEMA, tag="adventure:query")
    with translating_snowflake(settings, login), connection, connection.cursor() as cursor:
        cursor.execute("select built_at from publication")
        published_at = (cursor.fetchone() or (None,))[0]
        # The line break ends a comment at the statement's end.
        cursor.execute(f"select * from (\n{query}\n) limit {bounds.rows + 1}", timeout=timeout, num_statements=1)
        columns = [{"name": column.name.lower(), "type": _type(column)} for column in cursor.description]
        rows, is_complete = bounded(cursor.fetchone, bounds)
    return Selected(columns, rows, is_complete, published_at)


def _is_inner(query: str) -> bool:
    """Return whether the query stays within the parentheses around it."""
    bare = _OPAQUE.sub("''", query)
    depths = accumulate({"(": 1, ")": -1}.get(character, 0) for character in bare)
    return bool(bare.strip()) and min(depths) >= 0 and not (_LEAVES.search(bare) or _ACTS.search(query))


def _type(column: Any) -> str:
    name = _TYPES.get(column.type_code, "VARCHAR")
    return f"{name}({column.precision},{column.scale})" if name == "NUMBER" else name
