"""The models that are published for the dashboard, and their descriptions in the dbt project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adventure.core.errors import WarehouseError
from adventure.destinations.common.selection import read_selection

MARTS = (
    "sales_by_hour",
    "category_sales_by_hour",
    "product_sales_by_day",
    "customers_by_day",
    "support_chats_by_day",
    "campaign_events_by_day",
    "order_bands_by_day",
    "recent_orders",
    "recent_order_lines",
    "sales_annotations",
    "sales_targets",
    "sales_views",
    "dim_products",
)
"""What the Sales and Orders pages read: aggregates, one small dimension, and the latest orders."""

REVIEW_MARTS = ("reviews_by_day", "latest_reviews")
"""What it also reads where there is a stream of reviews. Without them it has no panels of reviews."""


@dataclass(frozen=True)
class Rows:
    """A table that is published from rows in memory."""

    columns: dict[str, str]
    """Column types by name."""
    rows: Sequence[Sequence[Any]]


DATA_AS_OF = "select max(high) from raw_ext.load_history where kind = 'data'"
"""The query of the time up to which sales were read."""


def published_models(dbt_target: Path) -> list[str]:
    """Return the models to publish: the marts and the models with a panel that the last build contained.

    Raises:
        WarehouseError: dbt's manifest is missing.
    """
    selection = read_selection(dbt_target)
    names = [str(node["name"]) for node in _models(dbt_target) if is_published(node)]
    return sorted(names if selection is None else set(names) & set(selection.built))


def is_published(model: Mapping[str, Any]) -> bool:
    """Return whether the dashboard shows this model of dbt's manifest, where it is built."""
    return model["name"] in (*MARTS, *REVIEW_MARTS) or bool(_panel(model))


def described_rows(dbt_target: Path) -> dict[str, Rows]:
    """Return the tables that describe the published models.

    - `descriptions`: of each model, of its columns, and of the figures that are made from them. The name in the row of
      the model itself is empty.
    - `panels`: the charts that models ask for in `meta: {panel: …}`.
    - `unbuilt`: the marts of the Sales page that were not built, each with the raw tables that it lacks.

    Raises:
        WarehouseError: dbt's manifest, which holds the descriptions, is missing.
    """
    published, selection = published_models(dbt_target), read_selection(dbt_target)
    texts, panels = [], []
    for node in _models(dbt_target):
        if node["name"] not in published:
            continue
        columns = {name: column["description"] for name, column in node["columns"].items()}
        figures = node["config"]["meta"].get("figures", {})
        for name, text in {"": node["description"], **columns, **figures}.items():
            texts.append((node["name"], name, " ".join(text.split())))
        if panel := _panel(node):
            panels.append((node["name"], orjson.dumps(panel).decode()))
    left_out = selection.left_out if selection else {}
    unbuilt = [(mart, ", ".join(left_out.get(mart, ()))) for mart in MARTS if mart not in published]
    return {
        "descriptions": Rows({"model": "varchar", "name": "varchar", "text": "varchar"}, texts),
        "panels": Rows({"model": "varchar", "panel": "varchar"}, panels),
        "unbuilt": Rows({"model": "varchar", "lacks": "varchar"}, unbuilt),
    }


def _panel(model: Mapping[str, Any]) -> Any:
    return model["config"].get("meta", {}).get("panel")


def _models(dbt_target: Path) -> list[dict[str, Any]]:
    manifest = dbt_target / "manifest.json"
    try:
        nodes = orjson.loads(manifest.read_bytes())["nodes"].values()
    except FileNotFoundError as error:
        raise WarehouseError(f"dbt's {manifest} is missing", "Run `adventure build` first") from error
    return [node for node in nodes if node["resource_type"] == "model"]
