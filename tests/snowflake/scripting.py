"""Runs snowflake/load_stages.sql against the emulator, which has neither tasks nor Snowflake Scripting.

Of blocks it knows what the files use: SELECT INTO, IF … <> '…' and RAISE, a FOR loop over a cursor, EXECUTE IMMEDIATE
of a text that is put together, CALL of a procedure of the file, and plain statements. As in a task, an error ends the
session, which rolls an open transaction back.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snowflake.connector import SnowflakeConnection

from adventure.core.settings import Settings
from adventure.destinations.snowflake.scripts import split
from adventure.destinations.snowflake.session import connect_snowflake

SCRIPT = Path(__file__).parents[2] / "snowflake" / "load_stages.sql"
STATEMENTS = list(split(SCRIPT.read_text(encoding="utf-8")))
TASKS = {
    found[1]: found[2]
    for text in STATEMENTS
    if (
        found := re.match(
            r"create or replace task (\w+) .*? as\n(?:execute immediate \$\$\n)?(.*?)(?:\$\$)?$", text, re.DOTALL
        )
    )
}
"""A block, or a call of a procedure."""
PROCEDURES = {
    found[1]: (found[2].replace(" varchar", "").split(", "), found[3])
    for text in STATEMENTS
    if (found := re.match(r"create or replace procedure (\w+)\((.*?)\)\n.*?\$\$\n(.*)\$\$", text, re.DOTALL))
}
"""The names of the arguments, and the block."""
FOLLOWING = {
    found[2]: found[1]
    for text in STATEMENTS
    if (found := re.match(r"create or replace task (\w+) .* after (\w+) as\n", text))
}


_FIRST_RUN = next(place for place, text in enumerate(STATEMENTS) if text.startswith("execute task"))


def deploy(settings: Settings) -> None:
    """Run the file up to its first EXECUTE TASK, in the database of the settings."""
    names = {"set database_name = 'MY_DATABASE'": f"set database_name = '{settings.snowflake_database}'"}
    with connect_snowflake(settings) as connection, connection.cursor() as cursor:
        for statement in STATEMENTS[:_FIRST_RUN]:
            cursor.execute(names.get(statement, statement))


def shown(settings: Settings) -> list[list[tuple[Any, ...]]]:
    """Return the result of each statement at the end of the file, which shows what was loaded."""
    with connect_snowflake(settings) as connection, connection.cursor() as cursor:
        cursor.execute("use schema raw_ext")
        last = [text for text in STATEMENTS[_FIRST_RUN:] if not text.startswith("execute task")]
        return [list(cursor.execute(statement).fetchall()) for statement in last]


def run_task(settings: Settings, name: str) -> None:
    """Run a task in a session of its own."""
    with connect_snowflake(settings) as connection:
        connection.cursor().execute("use schema raw_ext")
        if TASKS[name].startswith("call "):
            call(connection, TASKS[name])
        else:
            run_block(connection, TASKS[name])


def execute_task(settings: Settings, name: str) -> None:
    """Run a task, and after it the one that follows."""
    run_task(settings, name)
    run_task(settings, FOLLOWING[name])


class Raised(Exception):
    """A block raised one of its exceptions."""


def call(connection: SnowflakeConnection, statement: str) -> None:
    """Call a procedure of the file in this session, as one with its caller's rights runs."""
    (found,) = re.findall(r"^call (\w+)\((.*)\)$", statement)
    names, block = PROCEDURES[found[0]]
    run_block(connection, block, dict(zip(names, re.findall(r"'(\w+)'", found[1]), strict=True)))


def run_block(connection: SnowflakeConnection, block: str, arguments: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a block of Snowflake Scripting."""
    (body,) = re.findall(r"^begin\n(.*)^end;$", block, re.DOTALL | re.MULTILINE)
    cursors = dict(re.findall(r"(\w+) cursor for\s+(.*?);", block, re.DOTALL))
    variables: dict[str, Any] = dict(arguments)
    skipping = False
    for text in split(body):
        statement, rows = text, [dict[str, Any]()]
        if statement in ("end if", "end for"):
            skipping = False
            continue
        if found := re.match(r"if \((?:coalesce\()?(\w+)(?:, ''\))? <> '(\w*)'\) then\s+(.*)", statement, re.DOTALL):
            skipping, statement = (variables[found[1]] or "") == found[2], found[3]
        if skipping:
            continue
        if statement.startswith("call "):
            call(connection, statement)
            continue
        with connection.cursor() as cursor:
            if found := re.match(r"for (\w+) in (\w+) do\s+(.*)", statement, re.DOTALL):
                cursor.execute(cursors[found[2]])
                columns = [each[0].lower() for each in cursor.description]
                rows = [
                    {f"{found[1]}.{name}": value for name, value in zip(columns, row, strict=True)}
                    for row in cursor.fetchall()
                ]
                statement = found[3]
            for row in rows:
                _run(cursor, statement, variables | row, variables)


def _run(cursor: Any, statement: str, known: dict[str, Any], variables: dict[str, Any]) -> None:
    if found := re.match(r"raise (\w+)", statement):
        raise Raised(found[1])
    if found := re.match(r"select (.+?)\s+into ((?:, )?:\w+(?:, :\w+)*)\s+(from .*)", statement, re.DOTALL):
        (row,) = cursor.execute(_bound(f"select {found[1]} {found[3]}", known)).fetchall()
        variables |= dict(zip(re.findall(r":(\w+)", found[2]), row, strict=True))
    elif found := re.match(r"execute immediate (.*)", statement, re.DOTALL):
        cursor.execute(_text(found[1], known))
    else:
        cursor.execute(_bound(statement, known))


def _bound(statement: str, known: dict[str, Any]) -> str:
    """Put the variables' values in place of `:name`."""
    return re.sub(r"(?<![:\w]):(\w+)", lambda bound: f"'{known[bound[1]]}'", statement)


def _text(expression: str, variables: dict[str, Any]) -> str:
    """Put together `'…' || :name || '…' || row.column`."""
    parts = re.findall(r"'((?:[^']|'')*)'|:?\b(\w+(?:\.\w+)?)", expression)
    return "".join(variables[name] if name else literal.replace("''", "'") for literal, name in parts)
