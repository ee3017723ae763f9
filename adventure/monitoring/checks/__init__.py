"""The checks of `adventure check`: is the data complete (`flow`), and are the sales plausible (`sales`)?"""

from collections.abc import Sequence

from adventure.core.errors import WarehouseError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.warehouse import Executor
from adventure.factory import open_warehouse, sales_dialect
from adventure.monitoring.checks.check import Check
from adventure.monitoring.checks.flow import MODELS, count_rows, flow_checks, model_of
from adventure.monitoring.checks.sales import sales_checks

RETRY_FOR_SEC = 600.0
"""Seconds to wait for the warehouse, which a build holds for as long as it takes."""

__all__ = ["MODELS", "Check", "count_rows", "require_models", "run_checks"]


def run_checks(settings: Settings, streams: Sequence[Stream]) -> list[Check]:
    """Run all checks. The checks of sales run only if the shipped streams of sales and chats are configured.

    Raises:
        SourceError: a source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read, or no model was built yet.
    """
    warehouse = open_warehouse(settings, retry_for=RETRY_FOR_SEC)
    models = [model for stream in streams if (model := model_of(stream))]
    require_models(warehouse, models)
    checks = [check for stream in streams for check in flow_checks(settings, warehouse, stream)]
    if {stream.name for stream in streams if model_of(stream)} >= MODELS.keys() - {"reviews"}:
        checks += sales_checks(warehouse, sales_dialect(settings))
    return checks


def require_models(warehouse: Executor, models: Sequence[str]) -> None:
    """Raise WarehouseError if one of these models was never built."""
    found = warehouse.execute(
        "select lower(table_name) from information_schema.tables where lower(table_schema) = 'dbt_prod'"
    )
    if missing := [model for model in models if (model,) not in found]:
        raise WarehouseError(
            f"There is nothing to check yet: {missing[0]} was never built", "Run `adventure tasks run`"
        )
