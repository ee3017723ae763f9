"""The models and their described columns, from the manifest of dbt's last build."""

from pathlib import Path
from typing import Any

import orjson

from adventure.core.errors import AdventureError
from adventure.destinations.common.publication import is_published


def list_models(manifest: Path) -> list[dict[str, Any]]:
    """Return each model's name, description, folder of models, and whether it is published.

    Raises:
        AdventureError: nothing was built yet.
    """
    return [
        {
            "model": node["name"],
            "layer": node["fqn"][1],
            "is_published": is_published(node),
            "description": _one_line(node["description"]),
        }
        for node in _models(manifest)
    ]


def describe_model(manifest: Path, name: str) -> dict[str, Any]:
    """Return one model with its columns: name, type and description.

    Raises:
        AdventureError: nothing was built yet, or there is no such model.
    """
    models = _models(manifest)
    for node in models:
        if node["name"] == name:
            columns = [
                {"name": column["name"], "type": column["data_type"], "description": _one_line(column["description"])}
                for column in node["columns"].values()
            ]
            return {
                "model": name,
                "is_published": is_published(node),
                "description": _one_line(node["description"]),
                "columns": columns,
            }
    raise AdventureError(f"There is no model named {name}", f"Choose one of: {', '.join(m['name'] for m in models)}")


def _models(manifest: Path) -> list[dict[str, Any]]:
    try:
        nodes = orjson.loads(manifest.read_bytes())["nodes"].values()
    except FileNotFoundError as error:
        raise AdventureError(f"dbt's {manifest} is missing", "Run `adventure build` first") from error
    except (orjson.JSONDecodeError, KeyError) as error:
        raise AdventureError(
            f"dbt's {manifest} cannot be read: {error}", "Run `adventure build`: it replaces it"
        ) from error
    return sorted((node for node in nodes if node["resource_type"] == "model"), key=lambda node: str(node["name"]))


def _one_line(text: str) -> str:
    return " ".join(text.split())
