"""Move many tables at once: what arrives equals the sources, and one that breaks stops no other.

make many-streams, or python -m tests.many_streams [--streams 1000]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.live import read_state
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline
from adventure.tasks.graph import run_loads

STREAM = """
[streams.t{number}]
source = "postgres"
namespace = "public"
table = "t{number}"
cursor = "updated_at"
key = "id"
stage = "t{number}_stage"
raw_table = "raw_ext.t{number}_raw"
"""
TABLE = """
create table t{number} (id integer primary key, name text, updated_at timestamptz not null default now());
create index on t{number} (updated_at);
insert into t{number} select n, 'row ' || n * {number} from generate_series(1, {number} % 7) as n;
"""
CHANGED_EVERY = 20
"""One table of so many is changed before the second cycle."""

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class Outcome:
    """What happened, and how long each step took."""

    source: Rows = field(default_factory=dict)
    raw: Rows = field(default_factory=dict)
    first_windows: set[str] = field(default_factory=set)
    second_windows: set[str] = field(default_factory=set)
    failures: set[str] = field(default_factory=set)
    """The streams that failed in the last cycle."""
    seconds: dict[str, float] = field(default_factory=dict)


def run(sandbox: Sandbox, folder: Path, count: int, show: Callable[[str], None] = lambda _: None) -> Outcome:
    """Move so many tables; change some; drop one."""
    outcome = Outcome()
    databases = create_databases(sandbox)
    folder.mkdir(parents=True)
    (folder / "pipeline.toml").write_text("".join(STREAM.format(number=number) for number in range(count)))
    settings = load_settings(
        **{name.lower(): value for name, value in databases.reader_env.items()},
        data_dir=folder / "adventure",
        pipeline_file=folder / "pipeline.toml",
    )
    streams = load_streams(settings)

    def timed(step: str, work: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        done = work()
        outcome.seconds[step] = time.monotonic() - begun
        show(f"{step}: {outcome.seconds[step]:.1f} s")
        return done

    with psycopg.connect(sandbox.postgres.dsn(databases.reader_env["POSTGRES_DB"]), autocommit=True) as server:
        for number in range(count):
            server.execute(TABLE.format(number=number).encode())
        server.execute("grant select on all tables in schema public to adventure_reader")
        with open_pipeline(settings, streams) as pipeline:
            outcome.first_windows = _windows(timed("first cycle", lambda: run_cycle(pipeline)))
            timed("cycle without new rows", lambda: run_cycle(pipeline))
            for number in range(0, count, CHANGED_EVERY):
                server.execute(f"insert into t{number} values (0, 'late')".encode())
            server.execute("drop table t1")
            time.sleep(0.1)
            report = timed("cycle with changes and a table that is gone", lambda: run_cycle(pipeline))
            outcome.second_windows, outcome.failures = _windows(report), set(report.failures)
        timed("first load", lambda: run_loads(settings, streams))
        timed("load without windows", lambda: run_loads(settings, streams))
        timed("state for status", lambda: read_state(settings, streams))
        outcome.source = {
            stream.name: server.execute(f"select id, name from {stream.table} order by id".encode()).fetchall()
            for stream in streams
            if stream.name != "t1"
        }
    outcome.raw = _loaded(settings, streams, outcome.source)
    return outcome


def _windows(report: Any) -> set[str]:
    return {each.stream for each in report.streams if each.window is not None}


def _loaded(settings: Settings, streams: tuple[Stream, ...], wanted: Rows) -> Rows:
    warehouse = DuckDBWarehouse(settings)
    with warehouse.reading():
        tables = {name for (name,) in warehouse.execute("select table_name from duckdb_tables()")}
        return {
            stream.name: warehouse.execute(f"select id, name from {stream.latest_view} order by id")
            if stream.raw_table.partition(".")[2] in tables
            else []
            for stream in streams
            if stream.name in wanted
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder) / "servers", durable=False) as sandbox:
        outcome = run(sandbox, Path(folder) / "data", options.streams, lambda line: print(line, flush=True))
    rows = sum(map(len, outcome.source.values()))
    differing = sum(outcome.source[name] != outcome.raw[name] for name in outcome.source)
    print(f"{options.streams:,} streams, {rows:,} rows; {differing} tables differ; failed: {outcome.failures}")
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    main()
