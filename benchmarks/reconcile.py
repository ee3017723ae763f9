"""Measure the time and memory that `adventure reconcile` needs to find 10 million rows equal.

It creates a table in an embedded PostgreSQL and the same rows in a raw table by SQL, and compares them in a separate
process. The yardstick is the minimum work of a comparison that fetches every key: to copy key and cursor of all rows
out of PostgreSQL.

    make bench-reconcile, or python -m benchmarks.reconcile [--rows 10000000] [--rounds 3]
"""

import argparse
import multiprocessing
import secrets
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import psycopg

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.postgres import PostgresServer
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.connection import connect
from adventure.factory import open_source_side, open_warehouse
from adventure.reconcile.comparison import Comparison
from benchmarks.machine import peak_memory_mb
from benchmarks.results import Results, add_argument

STREAM = Stream("rows", "postgres", "public", "rows", "changed_at", ("id",), "rows_stage", "raw_ext.rows_raw")
MARK = datetime(2100, 1, 1)
GOAL, MEMORY_GOAL_MB = 30, 500

SOURCE = """
create table rows as
select md5('row' || i)::uuid as id, timestamp '2026-01-01' + i * interval '1.1 seconds' as changed_at
from generate_series(1, {rows}) as i;
alter table rows add primary key (id);
create index on rows (changed_at);
"""

RAW = """
create table raw_ext.rows_raw as
select
    cast(md5('row' || i) as uuid)::varchar as id,
    timestamp '2026-01-01' + to_microseconds(i * 1100000) as changed_at,
    'rows_stage/window-' || (i // 200000) || '/part-00000.parquet' as _file,
    i as _file_row,
    timestamp '2026-01-02' + to_seconds(i // 200000) as _loaded_at,
    null::timestamp as _deleted_at
from range(1, {rows} + 1) as t (i)
"""


def compare(settings: Settings, expected: int) -> tuple[float, float]:
    """Compare both sides in a separate process; return its seconds and peak memory in MB."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, open_source_side(settings, STREAM) as side:
        comparison = Comparison(STREAM, open_warehouse(settings), side, Path(folder) / "comparison.duckdb")
        result = comparison.run(MARK, timedelta(0), None, None)
    assert (result.rows, result.verdicts) == (expected, {})
    return time.monotonic() - begun, peak_memory_mb()


def copy(settings: Settings) -> float:
    """Return the seconds to copy key and cursor of all rows."""
    begun = time.monotonic()
    with (
        psycopg.connect(settings.postgres_dsn) as connection,
        connection.cursor() as cursor,
        cursor.copy("copy (select id, changed_at from rows) to stdout (format binary)") as rows,
    ):
        for _ in rows:
            pass
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    add_argument(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder) / "postgres", secrets.token_hex(8), free_port(None))
        server.start()
        try:
            run(server, Path(folder), arguments.rows, arguments.rounds).write(arguments.json)
        finally:
            server.stop()


def run(server: PostgresServer, folder: Path, rows: int, rounds: int) -> Results:
    """Print every round's figures."""
    settings = load_settings(
        postgres_host=server.host,
        postgres_port=server.port,
        postgres_db="postgres",
        postgres_user=server.user,
        postgres_password=server.password,
        data_dir=folder / "adventure",
    )
    print(f"making {rows:,} rows on both sides")
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(SOURCE.format(rows=rows))  # type: ignore[arg-type]
        connection.execute("vacuum analyze rows")
    open_warehouse(settings)
    with connect(settings.duckdb_path) as warehouse:
        warehouse.execute(RAW.format(rows=rows))
    spawn = multiprocessing.get_context("spawn")
    compared, copied, memory = [], [], []
    for number in range(1, rounds + 1):
        copied.append(copy(settings))
        with spawn.Pool(1) as pool:
            seconds, megabytes = pool.apply(compare, (settings, rows))
        compared.append(seconds)
        memory.append(megabytes)
        print(f"round {number}: compared in {seconds:.1f} s, at most {megabytes:,.0f} MB", flush=True)
    results = Results("reconcile")
    results.add(f"{rows:,} equal rows compared, against copying their keys out", compared, yardstick=copied)
    results.add("the same comparison, against its goal in seconds", compared, goal=GOAL)
    results.add("peak memory", memory, "MB", goal=MEMORY_GOAL_MB)
    return results


if __name__ == "__main__":
    main()
