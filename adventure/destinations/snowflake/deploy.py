"""`adventure snowflake deploy` and `destroy`: the scripts, run one statement after the other in one session."""

import re
from collections.abc import Callable, Sequence

from adventure.core.errors import WarehouseError, WarehouseRefused
from adventure.core.settings import Settings
from adventure.destinations.snowflake.session import SnowflakeLogin, connect_snowflake, translating_snowflake

FIRST_ROLE = "USERADMIN"
"""With which the scripts begin; they change it themselves. Who deploys must have it, SYSADMIN and ACCOUNTADMIN."""
_WHO = "Deploy as somebody who has USERADMIN, SYSADMIN and ACCOUNTADMIN; every statement may be run again"


def run_statements(settings: Settings, statements: Sequence[str], tell: Callable[[str], None]) -> None:
    """Runs all statements, telling of each before it runs.

    Raises:
        WarehouseError: one failed; those before it hold, and running all again is safe.
    """
    login = SnowflakeLogin.of_loader(settings, role=FIRST_ROLE)
    with connect_snowflake(settings, login, tag="adventure:deploy") as session:
        for statement in statements:
            tell(statement)
            if found := re.fullmatch(r"use role (?:identifier\(\$)?(\w+)\)?", statement):
                login = SnowflakeLogin.of_loader(settings, role=found[1].upper())
            try:
                with translating_snowflake(settings, login), session.cursor() as cursor:
                    cursor.execute(statement)
            except WarehouseError as error:
                first = statement.splitlines()[0]
                remedy = _WHO if isinstance(error, WarehouseRefused) else "Mend it and deploy again"
                raise type(error)(f"{error.problem} (in `{first}`)", remedy) from error
