"""`adventure snowflake deploy` and `destroy`: runs the statements of the scripts in one session."""

import re
from collections.abc import Callable, Mapping, Sequence

from adventure.core.errors import WarehouseError, WarehouseRefused
from adventure.core.settings import Settings
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.one_role import READS_METERING
from adventure.destinations.snowflake.refusals import translating_snowflake
from adventure.destinations.snowflake.scripts import SHOW_STREAMS
from adventure.destinations.snowflake.session import connect_snowflake

FIRST_ROLE = "USERADMIN"
"""The role with which the scripts begin. They switch to SYSADMIN and ACCOUNTADMIN themselves."""
_ROLES = "Deploy as a user with the roles USERADMIN, SYSADMIN and ACCOUNTADMIN; every statement may be run again"


def run_statements(
    settings: Settings, statements: Sequence[str], report: Callable[[str], None], *, role: str = FIRST_ROLE
) -> None:
    """Run all statements, and pass each to `report` before it runs.

    Args:
        role: sign in with this role.

    Raises:
        WarehouseError: a statement failed. The statements before it took effect, and all may be run again.
    """
    login = SnowflakeLogin.of_loader(settings, role=role)
    with connect_snowflake(settings, login, tag="adventure:deploy") as session:
        waiting = list(statements)
        while waiting:
            statement = waiting.pop(0)
            report(statement)
            if found := re.fullmatch(r"use role (?:identifier\(\$)?\"?(\w+)\"?\)?", statement):
                login = SnowflakeLogin.of_loader(settings, role=found[1].upper())
            try:
                with translating_snowflake(settings, login), session.cursor() as cursor:
                    cursor.execute(statement)
                    if statement == SHOW_STREAMS:
                        names = [column[0].lower() for column in cursor.description]
                        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                        waiting = [*replace_stale(rows), *waiting]
            except WarehouseError as error:
                if statement == READS_METERING and isinstance(error, WarehouseRefused):
                    report(f"-- Left out, since {role} may not read the metering:\n-- {waiting.pop(0).splitlines()[0]}")
                    continue
                first = statement.splitlines()[0]
                missing = (
                    _ROLES
                    if role == FIRST_ROLE
                    else f"The role {role} needs the privilege; docs/snowflake.md lists them"
                )
                remedy = missing if isinstance(error, WarehouseRefused) else "Fix the cause and deploy again"
                raise type(error)(f"{error.problem} (in `{first}`)", remedy) from error


def replace_stale(streams: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the statements that replace the stale streams of the stages, which CREATE … IF NOT EXISTS leaves stale.

    A stream becomes stale when nothing read it for longer than Snowflake keeps the changes, for instance while its load
    was suspended. The new stream begins with the next staged file; the load that this file starts takes all that waits.

    Args:
        streams: the rows of SHOW STREAMS.
    """
    names = [str(row["name"]) for row in streams if str(row["stale"]).lower() == "true"]
    return [
        f"create or replace stream raw_ext.{name} on stage raw_ext.{name.removesuffix('_FILES')}"
        for name in names
        if name.endswith("_FILES")
    ]
