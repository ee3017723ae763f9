"""What does it cost to stage whole tables, against the fastest way in which PostgreSQL gives them away?

Fills an embedded PostgreSQL with orders and four lines each, and runs one cycle of the processor on them in a process
of its own: from the first query to files that are synced and a watermark that has moved. The yardstick is psql, which
copies the same rows to /dev/null in the server's own binary format. The staged values are compared with the source's.

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
    """What one first load took."""

    seconds: dict[str, float]
    """By stream."""
    memory_mb: float
    """The process's largest, with all that it imports."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000_000, help="each has four lines")
    parser.add_argument("--rounds", type=int, default=3)
    add_argument(parser)
    arguments = parser.parse_args()
    measure(arguments.orders, arguments.rounds).write(arguments.json)


def measure(orders: int, rounds: int) -> Results:
    """Prints every round's figures.

    Raises:
        AssertionError: what was staged is not what the source holds.
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
    """One first load, after forgetting that there ever was one."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("drop table if exists adventure_watermarks")
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    os.sync()  # what the disk has still to write is not the load's
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_load, (settings, streams))


def _load(settings: Settings, streams: Sequence[Stream]) -> FirstLoad:
    """In a process of its own."""
    with open_pipeline(settings, streams) as pipeline:
        report = run_cycle(pipeline)
    if report.failures:
        raise next(iter(report.failures.values()))
    seconds = {each.stream: each.seconds for each in report.streams}
    return FirstLoad(seconds, peak_memory_mb())


def check_values(sales: Sales, stream: Stream) -> None:
    """Compares the number of rows, and the sum of a checksum of every whole row, on both sides.

    Raises:
        AssertionError: they differ.
    """
    stage = FolderStage(sales.settings.stage_dir)
    (window,) = stage.windows(stream.stage)
    files = [str(stage.path(window, file.name)) for file in window.files]
    there = ", ".join(_as_source_text(column) for column in window.columns)
    with psycopg.connect(sales.server.dsn()) as connection:
        source = connection.execute(
            f"select count(*), sum(('x' || left(md5(concat_ws('|', {there})), 15))::bit(60)::bigint)"
            f" from {stream.table}".encode()
        ).fetchone()
    here = ", ".join(_as_staged_text(column) for column in window.columns)
    with duckdb.connect() as reading:
        staged = reading.execute(
            f"select count(*), sum(cast('0x' || left(md5(concat_ws('|', {here})), 15) as bigint)) from read_parquet(?)",
            [files],
        ).fetchone()
    assert source is not None
    assert staged is not None
    assert tuple(map(int, staged)) == tuple(map(int, source)), f"{stream.name}: staged {staged}, source {source}"


def _as_source_text(column: Column) -> str:
    """A text that the value has in both databases; to PostgreSQL."""
    name = f'"{column.name}"'
    if column.type.startswith("decimal"):
        name = f"{name}::numeric{column.type.removeprefix('decimal128')}"
    elif column.type == "timestamp[us]":
        name = f"to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"coalesce({name}::text, 'NULL')"


def _as_staged_text(column: Column) -> str:
    """The same to DuckDB."""
    name = f'"{column.name}"'
    if column.type == "timestamp[us]":
        name = f"strftime({name}, '%Y-%m-%d %H:%M:%S.%f')"
    return f"coalesce(cast({name} as varchar), 'NULL')"


def _seconds(runs: dict[str, list[float]], number: int) -> dict[str, float]:
    return {name: round(values[number], 2) for name, values in runs.items()}


if __name__ == "__main__":
    main()
