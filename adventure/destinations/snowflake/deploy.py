"""`adventure snowflake deploy` and `destroy`: runs the statements of the scripts in one session."""

import re
from collections.abc import Callable, Sequence

from adventure.core.errors import WarehouseError, WarehouseRefused
from adventure.core.settings import Settings
from adventure.destinations.snowflake.session import SnowflakeLogin, connect_snowflake, translating_snowflake

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
        for statement in statements:
            report(statement)
            if found := re.fullmatch(r"use role (?:identifier\(\$)?\"?(\w+)\"?\)?", statement):
                login = SnowflakeLogin.of_loader(settings, role=found[1].upper())
            try:
                with translating_snowflake(settings, login), session.cursor() as cursor:
                    cursor.execute(statement)
            except WarehouseError as error:
                first = statement.splitlines()[0]
                missing = (
                    _ROLES
                    if role == FIRST_ROLE
                    else f"The role {role} needs the privilege; docs/snowflake.md lists them"
                )
                remedy = missing if isinstance(error, WarehouseRefused) else "Fix the cause and deploy again"
                raise type(error)(f"{error.problem} (in `{first}`)", remedy) from error
