"""What a command imports before it begins, which is most of what its start costs: no room and no library too many."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Runs a command up to where its job begins, which is replaced; then says which modules there are.
SCRIPT = """
import importlib, json, sys
from adventure import cli

if JOB:
    module, _, function = JOB.partition(":")
    setattr(importlib.import_module(module), function, lambda *_, **__: None)
sys.argv = ["adventure", *ARGUMENTS]
try:
    cli.main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps(sorted(sys.modules)))
"""

EVERYTHING_ELSE = ("dbt", "streamlit", "altair", "snowflake", "sqlfluff", "fakesnow", "secantusdb", "psutil", "tests")


def modules(arguments: list[str], job: str = "") -> set[str]:
    """All modules that are there when the command has run."""
    return _left_by(SCRIPT.replace("ARGUMENTS", repr(arguments)).replace("JOB", repr(job)))


def imported(module: str) -> set[str]:
    """All modules that are there when this one is."""
    return _left_by(f"import json, sys, {module}\nprint(json.dumps(sorted(sys.modules)))")


def _left_by(script: str) -> set[str]:
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def below(found: set[str], *names: str) -> set[str]:
    """Those of these modules and of what is within them that were found."""
    return {each for each in found if any(each == name or each.startswith(f"{name}.") for name in names)}


def test_help_loads_no_room_and_no_driver() -> None:
    found = modules(["--help"])
    rooms = {name.split(".")[1] for name in below(found, "adventure") if "." in name}
    assert rooms == {"cli", "core"}
    drivers = ("duckdb", "pyarrow", "adbc_driver_manager", "psycopg", "pymongo", "orjson", "numpy", "pandas")
    assert below(found, *EVERYTHING_ELSE, *drivers) == set()
    assert below(found, "pydantic", "pydantic_settings", "structlog", "tenacity", "prometheus_client") == set()


def test_the_processor_loads_its_own_rooms_and_one_driver_before_its_first_query() -> None:
    found = modules(["process"], "adventure.processor.run:process_once")
    assert "psycopg" in found
    rooms = {name.split(".")[1] for name in below(found, "adventure") if "." in name}
    assert rooms == {"cli", "core", "dashboard", "destinations", "factory", "processor", "sources"}
    assert below(found, *EVERYTHING_ELSE, "duckdb", "prometheus_client") == set()
    # A source brings its own: Arrow and ADBC, or pymongo.
    sources = (
        "adventure.sources.postgres.source",
        "pyarrow",
        "adbc_driver_manager",
        "adventure.sources.mongo.source",
        "pymongo",
    )
    assert below(found, *sources, "numpy") == set()


def test_a_source_loads_its_own_driver_alone() -> None:
    found = imported("adventure.sources.postgres.source")
    assert {"pyarrow.parquet", "adbc_driver_postgresql"} <= found
    # pandas comes with pyarrow.dataset, wherever it is installed.
    assert below(found, "pymongo", "pandas", "pyarrow.dataset") == set()
    assert (
        below(imported("adventure.sources.mongo.source"), "adbc_driver_manager", "pandas", "pyarrow.dataset") == set()
    )


def test_snowflake_as_the_warehouse_needs_no_duckdb() -> None:
    """The extra `snowflake`, and the image processor-snowflake, have none."""
    assert below(imported("adventure.destinations.snowflake.warehouse"), "duckdb", "dbt", "pandas") == set()


def test_the_generator_loads_no_warehouse() -> None:
    found = modules(["generate"], "adventure.demo.generator.run:generate")
    assert (
        below(found, *EVERYTHING_ELSE, "duckdb", "pandas", "adventure.destinations.warehouse", "adventure.demo.sandbox")
        == set()
    )
