"""Assign tests to tiers, and sort the test files.

`unit` tests start nothing outside their own process: `make check` runs them. `integration` tests start servers, other
processes or dbt, or take seconds. A test is `slow` only where it says so: `make test-slow` runs those.
"""

import inspect
import subprocess
from types import ModuleType

import pytest

from adventure.demo.sandbox import Sandbox

STARTS_SOMETHING = {"sandbox", "emulator", "dbt_folder", "standalone"}
"""Fixtures that start a server or run dbt. A test's list of fixtures includes the indirect ones."""
FOLDERS = {"benchmarks", "chaos", "crash", "dbt", "e2e", "history", "sandbox"}
"""Folders whose tests start servers or run dbt without any of these fixtures, or work for many seconds."""

LONG_FILES = (
    "model/",
    "snowflake/test_call_budget",
    "snowflake/test_schedule",
    "stage/test_manifest",
    "test_monitoring_files",
    "warehouse/test_cleanup_races",
    "warehouse/test_damaged_windows",
    "warehouse/test_tasks",
)
"""Files with tests of a second and more, which would make `make check` too slow for every commit."""

LONGEST_FIRST: tuple[str, ...] = ("crash/", "dashboard/", "snowflake/test_d", "warehouse/test_contract", "dbt/")
"""Start with the longest files, so that the workers end at about the same time."""


def mark(item: pytest.Item) -> None:
    """Add the marker `unit` or `integration`, unless the test has one of its own."""
    if not any(item.get_closest_marker(tier) for tier in ("unit", "integration")):
        item.add_marker("integration" if _starts_something(item) else "unit")


def in_order(item: pytest.Item) -> int:
    """Return a sort key: the place of the test's file in LONGEST_FIRST."""
    path = item.nodeid.removeprefix("tests/")
    return next((place for place, start in enumerate(LONGEST_FIRST) if path.startswith(start)), len(LONGEST_FIRST))


def _starts_something(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return (
        item.path.parent.name in FOLDERS
        or item.nodeid.removeprefix("tests/").startswith(LONG_FILES)
        or not STARTS_SOMETHING.isdisjoint(getattr(item, "fixturenames", ()))
        or any(isinstance(value, str) and value == "snowflake" for value in parameters.values())
        or _names_processes(getattr(item, "module", None))
    )


def _names_processes(module: ModuleType | None) -> bool:
    """Whether the test's module imports what starts processes."""
    return any(value is subprocess or value is Sandbox for value in vars(module or inspect).values())
