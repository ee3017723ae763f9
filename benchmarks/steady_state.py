"""Measure the cycles of a running processor, with new rows and without, and its start.

It writes a batch of new orders with four lines each into an embedded PostgreSQL that already has sales, and times one
cycle: from its first query to synced files and the advanced watermark. The yardstick is psql, which copies the same
rows to /dev/null in the server's binary format. Then it times cycles without new rows, which must touch no file and
write no row, and `adventure process` from its start to its first query in the server's log.

    make bench-steady-state, or python -m benchmarks.steady_state [--history 250000] [--orders 5000] [--rounds 5]
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from adventure.core.settings import Settings
from adventure.processor.cycle import Pipeline
from adventure.processor.run import open_pipeline, run_cycle
from adventure.sources.postgres.horizon import MARGIN
from benchmarks.results import Results, add_argument
from benchmarks.sales_source import LINES_AN_ORDER, Sales, sales_source

CYCLE_GOAL, IDLE_GOAL, START_GOAL, HELP_GOAL = 0.15, 0.02, 0.5, 0.25
IDLE_CYCLES = 20
TABLES = ("orders", "order_details")
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of commands: allow bytecode caches, as an installed program has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", type=int, default=250_000, help="existing orders")
    parser.add_argument("--orders", type=int, default=5000, help="orders per batch; each has four lines")
    parser.add_argument("--rounds", type=int, default=5)
    add_argument(parser)
    arguments = parser.parse_args()
    measure(arguments.history, arguments.orders, arguments.rounds).write(arguments.json)


def measure(history: int, orders: int, rounds: int) -> Results:
    """Print every round's figures.

    Raises:
        AssertionError: a cycle did not stage exactly the new rows, or an idle cycle wrote something.
    """
    results = Results("steady_state")
    with sales_source(history) as sales:
        with open_pipeline(sales.settings, sales.streams) as pipeline:
            run_cycle(pipeline)
            cycles, yardstick = [], []
            for number in range(rounds):
                seconds, least = _batch(sales, pipeline, history + number * orders, orders)
                cycles.append(seconds)
                yardstick.append(least)
            idle = [_idle(sales.settings, pipeline) for _ in range(IDLE_CYCLES)]
        results.add(f"cycle of {orders:,} orders and their lines", cycles, yardstick=yardstick)
        results.add("the same cycle, against its goal in seconds", cycles, goal=CYCLE_GOAL)
        results.add("idle cycle", idle, goal=IDLE_GOAL)
        with psycopg.connect(sales.server.dsn(), autocommit=True) as connection:
            connection.execute("alter system set log_line_prefix = '%n %a '")
            connection.execute("alter system set log_statement = 'all'")
            connection.execute("select pg_reload_conf()")
        # The first start compiles modules.
        starts = [_start(sales) for _ in range(rounds + 1)][1:]
        results.add("`adventure process` from start to first query", starts, goal=START_GOAL)
    results.add("`adventure --help`", [_help() for _ in range(rounds)], goal=HELP_GOAL)
    return results


def _batch(sales: Sales, pipeline: Pipeline, first: int, orders: int) -> tuple[float, float]:
    """Return the seconds of the cycle that stages this many new orders, and of psql for the same rows."""
    sales.add(first, first + orders, placed="now() at time zone 'utc'")
    queries = [f"select * from {name} where last_modified = (select max(last_modified) from orders)" for name in TABLES]
    least = sales.copy_out(*queries)
    time.sleep(2 * MARGIN.total_seconds())
    begun = time.monotonic()
    report = run_cycle(pipeline)
    seconds = time.monotonic() - begun
    staged = [each.rows_staged for each in report.streams]
    assert staged == [orders, orders * LINES_AN_ORDER], f"staged {staged}: {report.failures}"
    return seconds, least


def _idle(settings: Settings, pipeline: Pipeline) -> float:
    """Return the seconds of a cycle without new rows; check that it writes nothing."""
    before = _written(settings)
    begun = time.monotonic()
    report = run_cycle(pipeline)
    seconds = time.monotonic() - begun
    assert not report.failures
    assert _written(settings) == before, "an idle cycle wrote"
    return seconds


def _written(settings: Settings) -> tuple[list[Any], list[Any]]:
    """Return every file and folder with its times, and every row of the state with its writing transaction."""
    files = [(str(path), path.stat().st_mtime_ns) for path in sorted(settings.data_dir.rglob("*"))]
    with psycopg.connect(settings.state_conninfo) as connection:
        return files, connection.execute("select m.*, xmin::text from adventure_watermarks as m order by 1").fetchall()


def _start(sales: Sales) -> float:
    """Return the seconds from the start of `adventure process` to its first query."""
    log = sales.server.folder / "postgres.log"
    known = log.stat().st_size
    begun = time.time()
    process = subprocess.run(
        [sys.executable, "-m", "adventure", "process"], env=_environment(sales), capture_output=True, check=False
    )
    assert process.returncode == 0, process.stderr.decode()
    with log.open("rb") as lines:
        lines.seek(known)
        asked = re.search(rb"^([0-9.]+) adventure LOG:", lines.read(), re.MULTILINE)
    assert asked is not None
    return float(asked[1]) - begun


def _environment(sales: Sales) -> dict[str, str]:
    """Return the environment in which a command uses the benchmark's databases."""
    settings = sales.settings
    return COMPILED | {
        "POSTGRES_HOST": settings.postgres_host,
        "POSTGRES_PORT": str(settings.postgres_port),
        "POSTGRES_DB": settings.postgres_db,
        "POSTGRES_USER": settings.postgres_user,
        "POSTGRES_PASSWORD": settings.postgres_password.get_secret_value(),
        "DATA_DIR": str(settings.data_dir),
        "PIPELINE_FILE": str(_postgres_streams(settings)),
    }


def _postgres_streams(settings: Settings) -> Path:
    """Write a pipeline file with only the PostgreSQL streams: no other server is running."""
    path = settings.data_dir.parent / "pipeline.toml"
    path.write_text(settings.pipeline_file.read_text(encoding="utf-8").partition("[streams.chat_logs]")[0], "utf-8")
    return path


def _help() -> float:
    """Return the seconds of `adventure --help`."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "adventure", "--help"], env=COMPILED, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
