"""The marts that are published for the dashboard, and their descriptions in the dbt project."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adventure.core.errors import WarehouseError

MARTS = (
    "sales_by_hour",
    "category_sales_by_hour",
    "product_sales_by_day",
    "customers_by_day",
    "support_chats_by_day",
    "campaign_events_by_day",
    "order_bands_by_day",
    "sales_annotations",
    "sales_targets",
    "dim_products",
)
"""The published marts: aggregates and one small dimension."""


@dataclass(frozen=True)
class Rows:
    """A table that is published from rows in memory."""

    columns: dict[str, str]
    """Column types by name."""
    rows: Sequence[Sequence[Any]]


DATA_AS_OF = "select max(high) from raw_ext.load_history where kind = 'data'"
"""The query of the time up to which sales were read."""


def description_rows(manifest: Path) -> Rows:
    """Return the descriptions of each mart, of its columns, and of the figures that are made from them.

    The name in the row of the mart itself is empty.

    Raises:
        WarehouseError: dbt's manifest, which holds the descriptions, is missing.
    """
    try:
        nodes = orjson.loads(manifest.read_bytes())["nodes"].values()
    except FileNotFoundError as error:
        raise WarehouseError(f"dbt's {manifest} is missing", "Run `adventure build` first") from error
    texts = []
    for node in nodes:
        if node["resource_type"] == "model" and node["name"] in MARTS:
            columns = {name: column["description"] for name, column in node["columns"].items()}
            figures = node["config"]["meta"].get("figures", {})
            for name, text in {"": node["description"], **columns, **figures}.items():
                texts.append((node["name"], name, " ".join(text.split())))
    return Rows({"model": "varchar", "name": "varchar", "text": "varchar"}, texts)
