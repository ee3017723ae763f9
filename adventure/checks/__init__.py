"""The checks of `adventure check`: is everything there (`flow`), and does it look right (`sales`)?"""

from collections.abc import Sequence

from adventure.checks.check import Check
from adventure.checks.flow import MODELS, count_rows, flow_checks
from adventure.checks.sales import sales_checks
from adventure.settings import Settings
from adventure.streams import Stream
from adventure.warehouse import open_warehouse

__all__ = ["MODELS", "Check", "count_rows", "run_checks"]


def run_checks(settings: Settings, streams: Sequence[Stream]) -> list[Check]:
    """All checks; those of what sales look like only where the shipped streams bring them.

    Raises:
        SourceError: a source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read.
    """
    warehouse = open_warehouse(settings)
    checks = [check for stream in streams for check in flow_checks(settings, warehouse, stream)]
    if {stream.name for stream in streams} >= set(MODELS):
        checks += sales_checks(warehouse, settings.warehouse)
    return checks
