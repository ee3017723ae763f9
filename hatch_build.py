"""Add the project's files to the wheel, where `adventure.core.packaged` finds them.

An editable install reads them in the clone.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGED = (
    ".env.example",
    "pipeline.toml",
    "snowflake",
    # Not the whole folder: dbt writes into it when it is run there by hand.
    *(f"dbt/{name}" for name in ("analyses", "macros", "models", "seeds", "tests")),
    *(f"dbt/{name}.yml" for name in ("dbt_project", "profiles", "selectors")),
)


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling calls `initialize` before it builds a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files, and where the wheel has them."""
        if version != "editable":
            build_data["force_include"].update({name: f"adventure/packaged/{name}" for name in PACKAGED})
