"""What the dashboard shows of a warehouse's models: which marts are copied for it, and what dbt says of them."""

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
    "dim_products",
)
"""What is copied, each whole: aggregates and a small dimension."""


@dataclass(frozen=True)
class Rows:
    """A table whose rows are made here."""

    columns: dict[str, str]
    """Types by name."""
    rows: Sequence[Sequence[Any]]


DATA_AS_OF = "select max(high) from raw_ext.load_history where kind = 'data'"
"""Up to when its sales were read."""


def description_rows(manifest: Path) -> Rows:
    """Of each mart: its own description (under no name), its columns', and those of the figures made from them.

    Raises:
        WarehouseError: dbt's manifest, which holds them, is missing.
    """
    try:
        nodes = orjson.loads(manifest.read_bytes())["nodes"].values()
    except FileNotFoundError as error:
        raise WarehouseError(f"{manifest} is missing, which dbt writes", "Run `adventure build` first") from error
    texts = []
    for node in nodes:
        if node["resource_type"] == "model" and node["name"] in MARTS:
            columns = {name: column["description"] for name, column in node["columns"].items()}
            figures = node["config"]["meta"].get("figures", {})
            for name, text in {"": node["description"], **columns, **figures}.items():
                texts.append((node["name"], name, " ".join(text.split())))
    return Rows({"model": "varchar", "name": "varchar", "text": "varchar"}, texts)
