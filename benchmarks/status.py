"""Measure how long `adventure status` takes over a healthy pipeline, and with both databases down.

It backfills sales, moves them once to the built models, and runs the command in its own process each time. The second
part stops the databases first.

    make bench-status, or python -m benchmarks.status [--orders 2000] [--rounds 5] [--json FILE]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.demo.generator.run import backfill
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.processor.run import process_once
from adventure.tasks.graph import run_task
from benchmarks.results import Results, add_argument

ROOT = Path(__file__).parent.parent

GOAL_HEALTHY = 1.0
GOAL_DOWN = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    add_argument(parser)
    arguments = parser.parse_args()
    measure(arguments.orders, arguments.rounds).write(arguments.json)


def measure(orders: int, rounds: int) -> Results:
    """Print every run.

    Raises:
        AssertionError: the pipeline did not work, or a status names the wrong problems.
    """
    results = Results("status")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {"data_dir": folder / "data", "pipeline_file": ROOT / "pipeline.toml", "dbt_dir": ROOT / "dbt"}
        with Sandbox(folder / "servers", durable=False) as sandbox:
            databases = create_databases(sandbox, "sales_status", mongo_db="support_status")
            reader = _settings(databases.reader_env, paths)
            writer = _settings(databases.writer_env, paths)
            create_tables(writer)
            backfill(writer, orders=orders, days=20, seed=5)
            streams = load_streams(reader)
            process_once(reader, streams)
            assert [each.message for each in run_task(reader, streams) if each.outcome == "failed"] == []
            environment = databases.reader_env | {key.upper(): str(path) for key, path in paths.items()}
            healthy = [_status(environment, is_down=False) for _ in range(rounds)]
        down = [_status(environment, is_down=True) for _ in range(rounds)]
    results.add("a healthy pipeline", healthy, goal=GOAL_HEALTHY)
    results.add("both databases down", down, goal=GOAL_DOWN)
    return results


def _settings(environment: Mapping[str, str], paths: Mapping[str, Path]) -> Settings:
    return load_settings(**{name.lower(): value for name, value in environment.items()}, **paths)


def _status(environment: Mapping[str, str], *, is_down: bool) -> float:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "adventure", "status"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("does not answer" in done.stdout) == is_down, done.stdout + done.stderr
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
