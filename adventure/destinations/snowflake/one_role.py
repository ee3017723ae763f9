"""The deployment for an operator who has one role, one database and a warehouse that others use, too.

The role owns all objects, so it needs no grants. It creates no users, roles, warehouse, database or monitor.
"""

import re
from collections.abc import Iterator, Sequence

from adventure.destinations.snowflake.dialect import SNOWFLAKE

_ROLES = re.compile(r"set (owner_role|loader_role|transformer_role|reader_role) = '[^']*'")
_USE_ROLE = re.compile(r"use role (?:identifier\(\$(\w+)\)|\w+)")
READS_METERING = (
    "-- May the role read the account's metering? If this is refused, the next statement is left out.\n"
    "select 1 from snowflake.account_usage.warehouse_metering_history limit 0"
)
"""Stands before the statement that creates the view of the credits. `deploy.run_statements` acts on the answer."""
_NO_CREDITS = (
    "create or replace view credits as\nselect cast(null as date) as day, cast(null as double) as credits where false"
)
OWN_SCHEMAS = (
    "dashboard",
    "dbt_project",
    "dbt_prod",
    "dbt_prod_dbt_test__audit",
    "dbt_dev",
    "dbt_dev_dbt_test__audit",
    "raw_ext",
)
"""The schemas whose whole content is Adventure's. Those of the history may hold what a team has already."""


def deployment_as(role: str, statements: Sequence[str]) -> list[str]:
    """Return the statements of a deployment that this role can run, with it in the place of the four roles."""
    return [f"use role {SNOWFLAKE.column(role)}", *_kept(role, statements)]


def teardown_as(role: str, names: Sequence[str]) -> list[str]:
    """Return the statements that drop Adventure's own schemas, and leave the database.

    Args:
        names: the statements of 0_names.sql.
    """
    begin = [f"use role {SNOWFLAKE.column(role)}", *_kept(role, names), "use database identifier($database_name)"]
    return [*begin, *(f"drop schema if exists {schema}" for schema in OWN_SCHEMAS)]


def _kept(role: str, statements: Sequence[str]) -> Iterator[str]:
    is_ours = True
    for statement in statements:
        if used := _USE_ROLE.fullmatch(statement):
            # Statements of the account's own roles create what a single role cannot, and finds there.
            is_ours = used[1] == "owner_role"
        elif named := _ROLES.fullmatch(statement):
            yield f"set {named[1]} = {SNOWFLAKE.literal(role.upper())}"
        elif statement.startswith("create or replace view credits"):
            yield _NO_CREDITS
            yield READS_METERING
            yield statement
        elif is_ours and not statement.startswith("grant "):
            yield statement
