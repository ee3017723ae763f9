"""Interface of the module `kind` of a warehouse's folder: `adventure.factory` calls its functions.

The module itself imports no driver; its functions do.
"""

from collections.abc import Mapping
from typing import Protocol

from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.destinations.published import PublishedDataset
from adventure.destinations.select import Bounds, Selected
from adventure.destinations.warehouse import Warehouse


class WarehouseModule(Protocol):
    """See `adventure.factory` for what the functions do."""

    SALES_DIALECT: Mapping[str, str]
    """The expressions that `adventure/monitoring/checks/sales.sql` leaves to the warehouse, by name."""

    def open_stage(self, settings: Settings) -> Stage:
        """Return the stage from which the warehouse loads."""

    def open_warehouse(self, settings: Settings, *, retry_for: float | None = None) -> Warehouse:
        """Return the warehouse."""

    def select(self, settings: Settings, statement: str, bounds: Bounds) -> Selected:
        """Return the columns and the first rows of a person's own SELECT on the published tables."""

    def dashboard_environment(self, settings: Settings) -> dict[str, str]:
        """Return the environment variables that the functions below read, in the dashboard's process."""

    def open_sales(self) -> PublishedDataset:
        """Return the published marts."""

    def open_report(self, settings: Settings | None = None) -> PublishedDataset:
        """Return the published report on the pipeline."""
