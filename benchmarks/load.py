"""Measure the cost of loading a staged window against DuckDB's plain import of the same Parquet files.

It stages one window of order lines and loads it into an empty warehouse in one transaction: files checked against
window.json, rows with their file and row number, ledger entries. The yardstick is a plain
`insert into … select … from read_parquet` of the same files into an empty DuckDB file, which is also opened and closed.

    make bench-load, or python -m benchmarks.load [--rows 4000000] [--rounds 3] [--json FILE]
"""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb

from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.files import ParquetParts
from adventure.core.manifest import Column, Window
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.factory import open_warehouse
from benchmarks.machine import peak_memory_mb
from benchmarks.results import Results, add_argument

GOAL = 1 / 0.7
"""At least 70 % of the bare insert's speed."""

LINES = """
select
    cast(cast(md5('line' || i) as uuid) as varchar) as sales_order_detail_id,
    cast(cast(md5('order' || i // 4) as uuid) as varchar) as sales_order_id,
    upper(left(md5(cast(i // 4 as varchar)), 4)) || '-' || upper(substr(md5(cast(i // 4 as varchar)), 5, 4))
        as carrier_tracking_number,
    cast(1 + i // 4 % 12 as integer) as order_qty,
    cast(707 + i * 7919 % 293 as integer) as product_id,
    cast(1 + i % 9 as integer) as special_offer_id,
    cast((22900 + i * 104729 % 35759800) / 10000 as decimal(38, 9)) as unit_price,
    cast(0 as decimal(38, 9)) as unit_price_discount,
    cast((22900 + i * 104729 % 35759800) / 10000 as decimal(38, 9)) as line_total,
    timestamp '2026-01-01' + to_milliseconds(i // 4 * 100) as last_modified
from range({rows}) as numbers (i)
"""
LOW_CARDINALITY = ["carrier_tracking_number", "order_qty", "product_id", "special_offer_id"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    add_argument(parser)
    arguments = parser.parse_args()
    measure(arguments.rows, arguments.rounds).write(arguments.json)


def measure(rows: int, rounds: int) -> Results:
    """Print every round's figures.

    Raises:
        AssertionError: the values of the two imports differ.
    """
    results = Results("load")
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder))
        stream = next(stream for stream in load_streams(settings) if stream.name == "order_details")
        window = stage_lines(settings, stream, rows)
        bare = Path(folder) / "bare.duckdb"
        loads, yardstick, memory = [], [], []
        for number in range(1, rounds + 1):
            for path in (bare, settings.duckdb_path):
                path.unlink(missing_ok=True)
            files = [str(FolderStage(settings.stage_dir).path(window, file.name)) for file in window.files]
            seconds, _ = in_a_process(_insert, bare, files)
            yardstick.append(seconds)
            seconds, megabytes = in_a_process(_load, settings, stream)
            loads.append(seconds)
            memory.append(megabytes)
            check_values(settings, stream, window, bare)
            print(f"round {number}: bare {yardstick[-1]:.2f} s; loaded {seconds:.2f} s; values are equal", flush=True)
        results.add(f"{rows:,} order lines loaded", loads, yardstick=yardstick, goal=GOAL)
        results.add("peak memory", memory, "MB")
    return results


def stage_lines(settings: Settings, stream: Stream, rows: int) -> Window:
    """Stage a window with that many lines."""
    stage = FolderStage(settings.stage_dir)
    folder = settings.unfinished_dir / stream.name
    with duckdb.connect() as connection:
        reader = connection.sql(LINES.format(rows=rows)).to_arrow_reader(100_000)
        parts = ParquetParts(folder, reader.schema, LOW_CARDINALITY)
        for batch in reader:
            parts.write(batch)
        files = parts.close()
    window = Window(
        stream=stream.name,
        stage=stream.stage,
        low=None,
        high=datetime(2026, 2, 1),
        run_id="benchmark",
        files=tuple(file.staged() for file in files),
        rejects=None,
        columns=tuple(Column(field.name, str(field.type)) for field in reader.schema),
        staged_at=utc_now(),
        horizon=datetime(2026, 2, 1),
        mode="horizon",
    )
    for file in files:
        stage.put(stream.stage, window.id, file.path)
    stage.commit(window)
    shutil.rmtree(folder)
    return window


def check_values(settings: Settings, stream: Stream, window: Window, bare: Path) -> None:
    """Compare the number of rows in both files and the sum of the rows' hashes.

    Raises:
        AssertionError: the two files differ.
    """
    names = ", ".join(column.name for column in window.columns)
    sums = [
        _query(path, f"select count(*), sum(hash({names})::hugeint) from {table}")
        for path, table in ((bare, "lines"), (settings.duckdb_path, stream.raw_table))
    ]
    assert sums[0] == sums[1], f"{sums[0]} against {sums[1]}"


def _query(path: Path, query: str) -> tuple[object, ...] | None:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchone()


def in_a_process(job: Callable[..., None], *arguments: object) -> tuple[float, float]:
    """Run a function in a separate process; return its seconds and peak memory in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (job, *arguments))


def _timed(job: Callable[..., None], *arguments: object) -> tuple[float, float]:
    begun = time.monotonic()
    job(*arguments)
    return time.monotonic() - begun, peak_memory_mb()


def _insert(path: Path, files: list[str]) -> None:
    """Run the yardstick."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute("create table lines as select * from read_parquet(?) limit 0", [files])
        connection.execute("insert into lines select * from read_parquet(?)", [files])


def _load(settings: Settings, stream: Stream) -> None:
    """Run the load task."""
    open_warehouse(settings).load(stream)


if __name__ == "__main__":
    main()
