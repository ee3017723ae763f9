"""Open Snowflake as the warehouse; see `adventure.destinations.kind`."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adventure.destinations.published import PublishedDataset

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.stage import Stage
    from adventure.destinations.select import Bounds, Selected
    from adventure.destinations.warehouse import Warehouse

SESSION = "ADVENTURE_SNOWFLAKE_SESSION"
"""`active` where Snowflake runs the dashboard, which then reads with the session that is there."""

SALES_DIALECT: Mapping[str, str] = {
    "today": "date_trunc('day', sysdate())",
    "document_date": (
        "cast(convert_timezone('UTC', try_cast(cast(get(raw, 'OrderDate') as varchar) as timestamp_tz))"
        " as timestamp_ntz)"
    ),
    "document_lines": "array_size(get(raw, 'OrderDetails'))",
    "size_of_order_details": "coalesce(array_size(order_details), 0)",
}


def open_stage(settings: "Settings") -> "Stage":
    """Return the internal stages."""
    from adventure.destinations.snowflake.stage import SnowflakeStage

    return SnowflakeStage(settings)


def open_warehouse(settings: "Settings", *, retry_for: float | None = None) -> "Warehouse":
    """Return the account's database; nothing connects yet."""
    from adventure.destinations.snowflake.warehouse import SnowflakeWarehouse

    return SnowflakeWarehouse(settings)


def select(settings: "Settings", statement: str, bounds: "Bounds") -> "Selected":
    """Run one SELECT in the schema DASHBOARD."""
    from adventure.destinations.snowflake.select import select

    return select(settings, statement, bounds)


def dashboard_environment(settings: "Settings") -> dict[str, str]:
    """Return the settings that sign in: those of --env are not in this process's environment."""
    from pydantic import SecretStr

    found = {}
    for name, value in settings:
        if name.startswith("snowflake_") and value not in (None, ""):
            found[name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return found


def open_sales() -> PublishedDataset:
    """Return the published marts."""
    return _dataset("publication", "built_at", "Run `adventure build`: it publishes them again")


def open_report(settings: "Settings | None" = None) -> PublishedDataset:
    """Return the published report on the pipeline."""
    return _dataset("report", "written_at", "The next run of the tasks replaces it: `adventure tasks run`")


def _dataset(table: str, column: str, remedy: str) -> PublishedDataset:
    from adventure.destinations.snowflake import published

    read = published.read_active if os.environ.get(SESSION) == "active" else published.read_signed_in
    return published.SnowflakeDataset(table, column, remedy, read)
