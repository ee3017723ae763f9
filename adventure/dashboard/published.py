"""What is published: the panels of one's own models, and the marts of the dashboard that are not built."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adventure.core.errors import WarehouseError
from adventure.dashboard.data import cached_query
from adventure.factory import open_sales


@dataclass(frozen=True)
class Contents:
    """What the pages of the app depend on."""

    has_sales: bool
    """Whether all marts of the Sales and Orders pages are published."""
    unbuilt: Mapping[str, str] = field(default_factory=dict)
    """The marts that are not built, each with the raw tables that it lacks; none if the project has no such mart."""
    panels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The panels that models ask for, by the model's name."""


def read_contents() -> Contents:
    """Return what is published now."""
    dataset = open_sales()
    version = dataset.version()
    if version is None:
        return Contents(has_sales=False)
    query = cached_query(dataset, version)
    try:
        unbuilt = query("select model, lacks from unbuilt order by model", [])
        panels = query("select model, panel from panels order by model", [])
    except WarehouseError:
        # Published by another version. The Sales page says what to do.
        return Contents(has_sales=True)
    return Contents(
        has_sales=unbuilt.empty,
        unbuilt=dict(zip(unbuilt["model"], unbuilt["lacks"], strict=True)),
        panels={model: json.loads(text) for model, text in zip(panels["model"], panels["panel"], strict=True)},
    )
