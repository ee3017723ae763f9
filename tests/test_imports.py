"""Commands import only what they need before they start; imports are most of the cost of a start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Run a command with its job replaced by a no-op, then print the imported modules.
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
    """Return all modules imported when the command has run."""
    return _left_by(SCRIPT.replace("ARGUMENTS", repr(arguments)).replace("JOB", repr(job)))


def imported(module: str) -> set[str]:
    """Return all modules imported by importing this one."""
    return _left_by(f"import json, sys, {module}\nprint(json.dumps(sorted(sys.modules)))")


def _left_by(script: str) -> set[str]:
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def below(found: set[str], *names: str) -> set[str]:
    """Return the found modules that are among these packages or within them."""
    return {each for each in found if any(each == name or each.startswith(f"{name}.") for name in names)}


def test_help_imports_no_package_and_no_driver() -> None:
    found = modules(["--help"])
    packages = {name.split(".")[1] for name in below(found, "adventure") if "." in name}
    assert packages == {"cli", "core"}
    drivers = ("duckdb", "pyarrow", "adbc_driver_manager", "psycopg", "pymongo", "orjson", "numpy", "pandas")
    assert below(found, *EVERYTHING_ELSE, *drivers) == set()
    assert below(found, "pydantic", "structlog", "tenacity", "prometheus_client") == set()


def test_the_processor_imports_only_its_packages_and_one_driver() -> None:
    found = modules(["process"], "adventure.processor.run:process_once")
    assert "psycopg" in found
    packages = {name.split(".")[1] for name in below(found, "adventure") if "." in name}
    assert packages == {"cli", "core", "destinations", "factory", "processor", "sources"}
    assert below(found, *EVERYTHING_ELSE, "duckdb", "prometheus_client", "rich", "typer") == set()
    assert "typer" in modules(["process", "--quiet"], "adventure.processor.run:process_once")
    # Each source imports its own driver: Arrow and a decoder, or pymongo.
    sources = (
        "adventure.sources.postgres.source",
        "pyarrow",
        "adbc_driver_manager",
        "adventure_decoder",
        "adventure.sources.mongo.source",
        "pymongo",
    )
    assert below(found, *sources, "numpy") == set()


def test_a_source_imports_only_its_own_driver() -> None:
    found = imported("adventure.sources.postgres.source")
    assert "pyarrow.parquet" in found
    assert "pyarrow.compute" not in found, "it takes as long to import as the rest of Arrow"
    # pyarrow.dataset imports pandas if it is installed.
    assert below(found, "pymongo", "pandas", "pyarrow.dataset") == set()
    # Which decoder is imported shows when a source is opened.
    decoders = ("adventure_decoder", "adbc_driver_manager", "adbc_driver_postgresql")
    assert below(found, *decoders) == set()
    adbc = imported("adventure.sources.postgres.copy_adbc")
    assert below(adbc, *decoders) & {*decoders} == {"adbc_driver_manager", "adbc_driver_postgresql"}
    assert below(adbc, "pandas", "pyarrow.dataset") == set()
    assert (
        below(imported("adventure.sources.mongo.source"), "adbc_driver_manager", "pandas", "pyarrow.dataset") == set()
    )


def test_the_compiled_decoder_needs_no_adbc() -> None:
    pytest.importorskip("adventure_decoder")
    found = imported("adventure.sources.postgres.copy_decoder")
    assert below(found, "adbc_driver_manager", "adbc_driver_postgresql", "pandas", "pyarrow.dataset") == set()


def test_snowflake_as_the_warehouse_needs_no_duckdb() -> None:
    """The extra `snowflake` and the image processor-snowflake do not contain DuckDB."""
    assert below(imported("adventure.destinations.snowflake.warehouse"), "duckdb", "dbt", "pandas") == set()


def test_the_generator_loads_no_warehouse() -> None:
    found = modules(["generate"], "adventure.demo.generator.run:generate")
    assert (
        below(found, *EVERYTHING_ELSE, "duckdb", "pandas", "adventure.destinations.warehouse", "adventure.demo.sandbox")
        == set()
    )


@pytest.mark.parametrize(("command", "packages"), [("process", set()), ("load", {"numpy", "pandas"})])
def test_the_processors_process_finds_neither_numpy_nor_pandas(command: str, packages: set[str]) -> None:
    """pyarrow imports them where they are installed, pandas with its first scalar."""
    pytest.importorskip("pandas")
    script = f"""
import json, sys
from adventure.cli import job, main, processing
processing.load_given_pipeline = job.load_given_pipeline = lambda _: sys.exit(0)
sys.argv = ["adventure", "{command}"]
try:
    main()
except SystemExit:
    import pyarrow
    pyarrow.scalar(1)
    print(json.dumps(sorted(sys.modules)))
"""
    assert below(_left_by(script), "numpy", "pandas") & {"numpy", "pandas"} == packages
