"""Measure what a window costs that waits among thousands: to load it, to clean it up, and to list them all.

It stages windows of a few order lines and loads them in one run of the task, as after a night without the task server:
files checked against window.json, rows with their file and row number, ledger entries. The yardstick inserts the same
files into a DuckDB file with a transaction for each and without all of that. Then the windows are cleaned up. Listing
them is what a processor that starts adds to its usual start.

    make bench-waiting, or python -m benchmarks.waiting [--windows 10000] [--rounds 2] [--json FILE]
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb

from adventure.core import log
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.factory import open_warehouse
from benchmarks.load import in_a_process, stage_lines
from benchmarks.results import Results, add_argument

ROWS = 5
"""Order lines in a window."""
GOAL_MS, LIST_GOAL_SEC = 5, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    add_argument(parser)
    arguments = parser.parse_args()
    measure(arguments.windows, arguments.rounds).write(arguments.json)


def measure(windows: int, rounds: int) -> Results:
    """Print every round's figures.

    Raises:
        AssertionError: rows or windows are missing; see `check_rows`.
    """
    results = Results("waiting")
    listed: list[float] = []
    bare: list[float] = []
    loaded: list[float] = []
    removed: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, rounds + 1):
            settings = load_settings(data_dir=Path(folder, str(number)))
            stream = next(stream for stream in load_streams(settings) if stream.name == "order_details")
            stage_many(settings, stream, windows)
            listed.append(in_a_process(_list, settings, stream)[0])
            for job, times in ((_insert, bare), (_load, loaded), (_clean_up, removed)):
                times.append(1000 * in_a_process(job, settings, stream)[0] / windows)
            print(
                f"round {number}: {windows:,} windows listed in {listed[-1]:.2f} s; for each: bare {bare[-1]:.2f} ms,"
                f" loaded {loaded[-1]:.2f} ms, cleaned up {removed[-1]:.2f} ms",
                flush=True,
            )
            check_rows(settings, stream, windows)
            shutil.rmtree(settings.data_dir)
    results.add("a window loaded", loaded, "ms", yardstick=bare)
    results.add("a window loaded or cleaned up, the longer", list(map(max, loaded, removed)), "ms", goal=GOAL_MS)
    results.add(f"{windows:,} windows listed", listed, goal=LIST_GOAL_SEC)
    return results


def check_rows(settings: Settings, stream: Stream, windows: int) -> None:
    """Compare the rows of the raw table and of the ledger, and what the stage still holds, with what was staged.

    Raises:
        AssertionError: something differs.
    """
    warehouse = open_warehouse(settings)
    (counts,) = warehouse.execute(
        f"select (select count(*) from {stream.raw_table}), (select sum(rows) from raw_ext.load_history)"
    )
    assert counts == (ROWS * windows, ROWS * windows), counts
    assert FolderStage(settings.stage_dir).windows(stream.stage) == []


def stage_many(settings: Settings, stream: Stream, windows: int) -> None:
    """Stage that many windows of the same few lines."""
    stage = FolderStage(settings.stage_dir)
    first = stage_lines(settings, stream, ROWS)
    (file,) = first.files
    for number in range(1, windows):
        high = first.high + timedelta(seconds=number)
        window = replace(first, low=first.high, high=high, horizon=high)
        stage.put(stream.stage, window.id, stage.path(first, file.name))
        stage.commit(window)


def _list(settings: Settings, stream: Stream) -> None:
    FolderStage(settings.stage_dir).windows(stream.stage)


def _insert(settings: Settings, stream: Stream) -> None:
    """Run the yardstick."""
    stage = FolderStage(settings.stage_dir)
    path = settings.data_dir / "bare.duckdb"
    with duckdb.connect(str(path)) as connection:
        for number, window in enumerate(stage.windows(stream.stage)):
            file = str(stage.path(window, window.files[0].name))
            if not number:
                connection.execute("create table lines as select * from read_parquet(?) limit 0", [file])
            connection.execute("insert into lines select * from read_parquet(?)", [file])


def _load(settings: Settings, stream: Stream) -> None:
    log.configure("text", "quiet")
    open_warehouse(settings).load(stream)


def _clean_up(settings: Settings, stream: Stream) -> None:
    open_warehouse(settings).cleanup(stream)


if __name__ == "__main__":
    main()
