"""`adventure snowflake deploy` and `destroy`: the scripts, run one statement after the other in one session."""

from collections.abc import Callable, Sequence

from adventure.connect_snowflake import connect_snowflake, translating_snowflake
from adventure.errors import WarehouseError
from adventure.settings import Settings

FIRST_ROLE = "USERADMIN"
"""With which the scripts begin; they change it themselves. Who deploys must have it, SYSADMIN and ACCOUNTADMIN."""


def run_statements(settings: Settings, statements: Sequence[str], tell: Callable[[str], None]) -> None:
    """Runs all statements, telling of each before it runs.

    Raises:
        WarehouseError: one failed; those before it hold, and running all again is safe.
    """
    with connect_snowflake(settings, role=FIRST_ROLE, tag="adventure:deploy") as session:
        for statement in statements:
            tell(statement)
            try:
                with translating_snowflake(settings), session.cursor() as cursor:
                    cursor.execute(statement)
            except WarehouseError as error:
                first = statement.splitlines()[0]
                raise type(error)(
                    f"{error.problem} (in `{first}`)", error.remedy or "Mend it and deploy again"
                ) from error
