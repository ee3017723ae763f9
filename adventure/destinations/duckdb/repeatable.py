"""What dbt does in a project that its statements do not show: no increment of it can be repeated without dbt."""

import re
from collections.abc import Iterator
from typing import Any

_OF_THE_RUN = re.compile(
    r"\b(run_started_at|invocation_id|invocation_args_dict|modules|selected_resources|thread_id)\b|\|\s*random\b"
)
"""What a template can read of the clock, of chance and of the run."""
_OF_DBT = ("dbt", "dbt_duckdb")
"""The packages of dbt's own macros."""
_ADDING = ("append", "microbatch")
"""Strategies that would add the same rows again where dbt builds after a replay, or that depend on the clock."""


def why_not(manifest: Any) -> str:
    """Return why increments of the project cannot be repeated, or an empty text.

    Args:
        manifest: the project as dbt's classes.
    """
    for name, text in _templates(manifest):
        if found := _OF_THE_RUN.search(text):
            return f"{name} reads {found[0].strip('| ')}"
    for name, node in manifest.nodes.items():
        if why := _why_not_again(node.config):
            return f"{name} {why}"
    return ""


def _templates(manifest: Any) -> Iterator[tuple[str, str]]:
    for name, node in manifest.nodes.items():
        yield name, getattr(node, "raw_code", "")
        if metadata := getattr(node, "test_metadata", None):
            yield name, str(metadata.kwargs)
    for name, macro in manifest.macros.items():
        if macro.package_name not in _OF_DBT:
            yield name, macro.macro_sql


def _why_not_again(settings: Any) -> str:
    if getattr(settings, "pre_hook", ()) or getattr(settings, "post_hook", ()):
        return "has a hook"
    if getattr(settings, "materialized", "") != "incremental":
        return ""
    if settings.incremental_strategy in _ADDING:
        return f"has the strategy {settings.incremental_strategy}"
    return "" if settings.unique_key else "is incremental without a unique_key"
