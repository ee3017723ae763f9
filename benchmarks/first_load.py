"""Measure the cost of staging whole tables against PostgreSQL's fastest export.

It fills an embedded PostgreSQL with orders of four lines each and runs one cycle of the processor in its own process:
from the first query to synced files and an advanced watermark. The yardstick is psql, which copies the same rows to
/dev/null in the server's binary format. The staged values are compared with the source's.

    make bench-first-load, or python -m benchmarks.first_load [--orders 1000000] [--rounds 3] [--json FILE]
"""

import argparse
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import psycopg

from adventure.core.left_out import leave_out
from adventure.core.manifest import Column
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.run import open_pipeline, run_cycle
from benchmarks.machine import peak_memory_mb
from benchmarks.results import Results, add_argument
from benchmarks.sales_source import Sales, sales_source

GOAL = 1.5
MEMORY_GOAL_MB = 250


@dataclass(frozen=True)
class FirstLoad:
    """The cost of a first load."""

    seconds: dict[str, float]
    """Seconds by stream."""
    memory_mb: float
    """Peak memory of the process, including its imports."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000_000, help="each has four lines")
    parser.add_argument("--rounds", type=int, default=3)
    add_argument(parser)
    arguments = parser.parse_args()
    measure(arguments.orders, arguments.rounds).write(arguments.json)


def measure(orders: int, rounds: int) -> Results:
    """Print every round's figures.

    Raises:
        AssertionError: the staged values differ from the source's.
    """
    results = Results("first_load")
    with sales_source(orders) as sales:
        yardsticks: dict[str, list[float]] = {stream.name: [] for stream in sales.streams}
        loads: list[FirstLoad] = []
        for number in range(1, rounds + 1):
            for stream in sales.streams:
                yardsticks[stream.name].append(sales.copy_out(f"select * from {stream.table}"))
            loads.append(first_load(sales.settings, sales.streams))
            for stream in sales.streams:
                check_values(sales, stream)
            print(f"round {number}: psql {_seconds(yardsticks, -1)}; staged {loads[-1]}; values are equal", flush=True)
        for stream in sales.streams:
            runs = [load.seconds[stream.name] for load in loads]
            results.add(f"{stream.name} staged", runs, yardstick=yardsticks[stream.name], goal=GOAL)
        results.add("peak memory", [load.memory_mb for load in loads], "MB", goal=MEMORY_GOAL_MB)
    return results


def first_load(settings: Settings, streams: Sequence[Stream]) -> FirstLoad:
    """Run a first load, after deleting the watermarks and stages of earlier ones."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("drop table if exists adventure_watermarks")
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    os.sync()  # pending writes of the disk must not count for the load
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_load, (settings, streams))


def _load(settings: Settings, streams: Sequence[Stream]) -> FirstLoad:
    """Run the load; called in a separate process, which is that of `adventure process`: without numpy and pandas."""
    leave_out("numpy", "pandas")
    with open_pipeline(settings, streams) as pipeline:
        report = run_cycle(pipeline)
    if report.failures:
        raise next(iter(report.failures.values()))
    seconds = dict.fromkeys((stream.name for stream in streams), 0.0)
    for window in report.streams:
        seconds[window.stream] += window.seconds
    return FirstLoad(seconds, peak_memory_mb())


def check_values(sales: Sales, stream: Stream) -> None:
    """Compare the number of rows and the sum of the rows' checksums on both sides.

    Raises:
        AssertionError: the two sides differ.
    """
    stage = FolderStage(sales.settings.stage_dir)
    windows = stage.windows(stream.stage)
    files = [str(stage.path(window, file.name)) for window in windows for file in window.files]
    columns = windows[0].columns
    there = ", ".join(_as_source_text(column) for column in columns)
    with psycopg.connect(sales.server.dsn()) as connection:
        source = connection.execute(
            f"select count(*), sum(('x' || left(md5(concat_ws('|', {there})), 15))::bit(60)::bigint)"
            f" from {stream.table}".encode()
        ).fetchone()
    here = ", ".join(_as_staged_text(column) for column in columns)
    with duckdb.connect() as reading:
        staged = reading.execute(
            f"select count(*), sum(cast('0x' || left(md5(concat_ws('|', {here})), 15) as bigint)) from read_parquet(?)",
            [files],
        ).fetchone()
    assert source is not None
    assert staged is not None
    assert tuple(map(int, staged)) == tuple(map(int, source)), f"{stream.name}: staged {staged}, source {source}"


def _as_source_text(column: Column) -> str:
    """Return PostgreSQL SQL for the value as text that is equal in both databases."""
    name = f'"{column.name}"'
    if column.type.startswith("decimal"):
        name = f"{name}::numeric{column.type.removeprefix('decimal128')}"
    elif column.type == "timestamp[us]":
        name = f"to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"coalesce({name}::text, 'NULL')"


def _as_staged_text(column: Column) -> str:
    """Return the same SQL for DuckDB."""
    name = f'"{column.name}"'
    if column.type == "timestamp[us]":
        name = f"strftime({name}, '%Y-%m-%d %H:%M:%S.%f')"
    return f"coalesce(cast({name} as varchar), 'NULL')"


def _seconds(runs: dict[str, list[float]], number: int) -> dict[str, float]:
    return {name: round(values[number], 2) for name, values in runs.items()}


if __name__ == "__main__":
    main()
