"""Run dbt to describe the project, without a warehouse."""

import os
import sys
from pathlib import Path


def run_dbt(project: Path, target: Path, *command: str) -> None:
    """Run a dbt command on an empty warehouse in `target`, which also gets its output; exit if dbt fails."""
    from dbt.cli.main import dbtRunner

    os.environ["ADVENTURE_DUCKDB_PATH"] = str(target / "empty.duckdb")
    # The models of the reviews exist only where it is set.
    os.environ.setdefault("API_URL", "http://127.0.0.1/v1")
    options = ["--project-dir", str(project), "--profiles-dir", str(project), "--target", "duckdb"]
    options += ["--target-path", str(target), "--log-path", str(target), "--quiet", "--no-send-anonymous-usage-stats"]
    result = dbtRunner().invoke([*command, *options])
    if not result.success:
        sys.exit(f"dbt {command[0]} failed: {result.exception or 'see above'}")
