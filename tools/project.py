"""Runs dbt on the project for what describes it: no warehouse is needed, and none is touched."""

import os
import sys
from pathlib import Path


def run_dbt(project: Path, target: Path, *command: str) -> None:
    """Runs a dbt command that writes into `target`, on an empty warehouse there; ends the program if dbt fails."""
    from dbt.cli.main import dbtRunner

    os.environ["ADVENTURE_DUCKDB_PATH"] = str(target / "empty.duckdb")
    options = ["--project-dir", str(project), "--profiles-dir", str(project), "--target", "duckdb"]
    options += ["--target-path", str(target), "--log-path", str(target), "--quiet", "--no-send-anonymous-usage-stats"]
    result = dbtRunner().invoke([*command, *options])
    if not result.success:
        sys.exit(f"dbt {command[0]} failed: {result.exception or 'see above'}")
