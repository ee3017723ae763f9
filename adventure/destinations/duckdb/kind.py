"""Open DuckDB as the warehouse; see `adventure.destinations.kind`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from adventure.destinations.published import PublishedDataset

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.stage import Stage
    from adventure.destinations.select import Bounds, Selected
    from adventure.destinations.warehouse import Warehouse

SALES_PATH = "ADVENTURE_PUBLISHED_PATH"
REPORT_PATH = "ADVENTURE_REPORT_PATH"
"""Environment variables that tell the dashboard's process which files to read."""

SALES_DIALECT: Mapping[str, str] = {
    "today": "date_trunc('day', current_timestamp at time zone 'UTC')",
    "document_date": "try_cast(json_extract_string(raw, '$.OrderDate') as timestamptz) at time zone 'UTC'",
    "document_lines": "json_array_length(raw, '$.OrderDetails')",
    "size_of_order_details": "coalesce(len(order_details), 0)",
}


def open_stage(settings: "Settings") -> "Stage":
    """Return the folder of staged files."""
    from adventure.destinations.duckdb.stage import FolderStage

    return FolderStage(settings.stage_dir)


def open_warehouse(settings: "Settings", *, retry_for: float | None = None) -> "Warehouse":
    """Return the warehouse file."""
    from adventure.destinations.duckdb.warehouse import DuckDBWarehouse

    return DuckDBWarehouse(settings) if retry_for is None else DuckDBWarehouse(settings, retry_for)


def select(settings: "Settings", statement: str, bounds: "Bounds") -> "Selected":
    """Run one SELECT on the published file."""
    from adventure.destinations.duckdb.select import select

    return select(settings.published_path, statement, bounds)


def dashboard_environment(settings: "Settings") -> dict[str, str]:
    """Return where the published files are."""
    return {SALES_PATH: str(settings.published_path.resolve()), REPORT_PATH: str(settings.report_path.resolve())}


def open_sales() -> PublishedDataset:
    """Return the published marts."""
    return _dataset(SALES_PATH, "dashboard.duckdb", "Run `adventure build`: it replaces it")


def open_report(settings: "Settings | None" = None) -> PublishedDataset:
    """Return the published report on the pipeline."""
    remedy = "The next run of the tasks replaces it: `adventure tasks run`"
    if settings:
        from adventure.destinations.duckdb.published import DuckDBDataset

        return DuckDBDataset(settings.report_path, remedy)
    return _dataset(REPORT_PATH, "pipeline.duckdb", remedy)


def _dataset(variable: str, default: str, remedy: str) -> PublishedDataset:
    from adventure.destinations.duckdb.published import DuckDBDataset

    return DuckDBDataset(Path(os.environ.get(variable, f".adventure/{default}")), remedy)
