"""Measure how fast the changes of a table are staged by PostgreSQL's log, beside the same changes by a cursor.

Each round inserts and updates rows of a narrow table in transactions of a thousand changes, and times one cycle of two
processors that keep running, each in a process of its own: one reads the table by the log, the other by its cursor. It
also deletes some rows, which only the log names. The yardstick of the log is psql, which peeks at the same slot with
the same options and copies the changed rows; that of the cursor only copies the rows. At the end it checks that both
modes staged the newest version of each changed row.

Then both processors run with an interval of half a second, and single rows are committed: freshness is the time from
before the commit to the file window.json of the row's window.

    make bench-log, or python -m benchmarks.by_log [--changes 100000] [--rounds 5] [--commits 100]
"""

import argparse
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg

from adventure.core.left_out import leave_out
from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, Stream
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_forever
from benchmarks.items import CREATE, DELETES, INSERT, SETTLE, change
from benchmarks.machine import peak_memory_mb
from benchmarks.results import Results, add_argument
from benchmarks.sales_source import Sales, sales_source

RATE_GOAL = 50_000
"""Changes a second."""
MEMORY_GOAL_MB, FRESHNESS_GOAL, INTERVAL = 200.0, 1.0, 0.5
_ARRIVE_WITHIN = 60.0
_FIRST_OF_ALL = -1_000_000
"""The key of a row that only shows that both processors have started."""
Ages = dict[str, list[float]]


def _stream(mode: str) -> Stream:
    return Stream(
        f"by_{mode}",
        "postgres",
        "public",
        "items",
        READ_AT if mode == "log" else "changed_at",
        ("id",),
        f"by_{mode}_stage",
        f"raw_ext.by_{mode}_raw",
        mode=mode,
    )


STREAMS = {mode: _stream(mode) for mode in ("log", "cursor")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100_000, help="in each round, half of them inserts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commits", type=int, default=100, help="rows whose freshness is measured")
    add_argument(parser)
    options = parser.parse_args()
    measure(options.changes, options.rounds, options.commits).write(options.json)


@dataclass
class _Runs:
    """What was measured of one mode, a value a round."""

    seconds: list[float] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)
    memory_mb: float = 0.0


def measure(changes: int, rounds: int, commits: int) -> Results:
    """Print every round's figures.

    Raises:
        AssertionError: a mode did not stage exactly the changed rows.
    """
    # The measured processes import this module, too. They must not have DuckDB in their memory.
    from benchmarks.freshness import percentile

    results = Results("by_log")
    with sales_source(0) as sales:
        with psycopg.connect(sales.server.dsn(), autocommit=True) as connection:
            connection.execute(CREATE)
            connection.execute(INSERT, [1, changes])
        found = {mode: _Runs() for mode in STREAMS}
        with (
            processor(sales.settings, STREAMS["log"]) as log,
            processor(sales.settings, STREAMS["cursor"]) as cursor,
        ):
            for number in range(rounds):
                _round(sales, {"log": log, "cursor": cursor}, found, number, changes)
            for mode, pipe in (("log", log), ("cursor", cursor)):
                pipe.send("memory")
                found[mode].memory_mb = float(pipe.recv())
        _check_values(sales, (changes // 2 + 1, changes // 2 + rounds * DELETES))
        ages = _freshness(sales, commits)
    for mode, runs in found.items():
        text = f"{changes:,} changes by the {mode}"
        results.add(text, runs.seconds, yardstick=runs.yardstick)
        rates = ", ".join(f"{changes / seconds:,.0f}" for seconds in runs.seconds)
        print(f"changes a second by the {mode}: {rates}", flush=True)
        is_log = mode == "log"
        if is_log:
            results.add(f"{text}, against its goal in seconds", runs.seconds, goal=changes / RATE_GOAL)
        results.add(f"memory by the {mode}", [runs.memory_mb], "MB", goal=MEMORY_GOAL_MB if is_log else None)
        for share in (0.5, 0.99):
            value = percentile(ages[mode], share)
            name = f"commit to staged by the {mode}, {share:.0%} of {commits} commits"
            results.add(name, [value], goal=FRESHNESS_GOAL if is_log and share > 0.5 else None)
    return results


def _round(sales: Sales, pipes: dict[str, Connection], found: dict[str, _Runs], number: int, changes: int) -> None:
    """Change rows, and let both modes read them, in alternating order."""
    half, since = changes // 2, change(sales, number, changes)
    rows = f"select * from items where changed_at >= '{since}'"
    for mode in list(pipes)[:: 1 if number % 2 else -1]:
        queries = [_peek(sales), rows] if mode == "log" else [rows]
        found[mode].yardstick.append(sales.copy_out(*queries))
        pipes[mode].send("cycle")
        seconds, staged, deleted = pipes[mode].recv()
        found[mode].seconds.append(seconds)
        expected = (2 * half, DELETES) if mode == "log" else (2 * half, 0)
        assert (staged, deleted) == expected, f"by the {mode}: staged {staged}, deleted {deleted}"


def _peek(sales: Sales) -> str:
    """Return the query that the processor sends, as `copy` has it."""
    with psycopg.connect(sales.server.dsn()) as connection:
        ((slot,),) = connection.execute("select slot_name from pg_replication_slots").fetchall()
    return (
        f"select data from pg_logical_slot_peek_binary_changes('{slot}', null, null, 'proto_version', '1',"
        " 'publication_names', 'adventure')"
    )


@contextmanager
def processor(settings: Settings, stream: Stream) -> Iterator[Connection]:
    """Run a processor that waits for orders; it has staged the table's first rows.

    It answers "cycle" with the seconds, and the rows that were staged and deleted; and "memory" with its peak in MB.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(settings, stream, theirs))
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield ours
    finally:
        ours.close()
        process.join()


def _serve(settings: Settings, stream: Stream, pipe: Connection) -> None:
    """Run a cycle each time it is asked to; called in a separate process."""
    leave_out("numpy", "pandas")  # As `adventure process` does.
    with open_pipeline(settings, (stream,)) as pipeline:
        time.sleep(SETTLE)
        run_cycle(pipeline)
        pipe.send("ready")
        while True:
            try:
                order = pipe.recv()
            except EOFError:
                return
            if order == "memory":
                pipe.send(peak_memory_mb())
                continue
            begun = time.monotonic()
            report = run_cycle(pipeline)
            seconds = time.monotonic() - begun
            windows = [each.window for each in report.streams if each.window]
            deleted = sum(window.deletes.rows for window in windows if window.deletes)
            pipe.send((seconds, sum(window.rows for window in windows), deleted))


def _check_values(sales: Sales, deleted: tuple[int, int]) -> None:
    """Compare the newest staged version of each row with the table.

    Args:
        deleted: the first and the last id that was deleted; the cursor has not seen that.

    Raises:
        AssertionError: the values differ.
    """
    import duckdb

    sums = "count(*), sum(id), sum(place), sum(price), count(name), count(is_new)"
    with psycopg.connect(sales.server.dsn()) as connection:
        source = connection.execute(f"select {sums} from items".encode()).fetchone()
    for mode in STREAMS:
        with duckdb.connect() as reading:
            newest = "select * from read_parquet(?, filename = true) where id not between ? and ?"
            newest += " qualify row_number() over (partition by id order by filename desc) = 1"
            staged = reading.execute(f"select {sums} from ({newest})", [_files(sales, mode), *deleted]).fetchone()
        assert staged == source, f"by the {mode}: staged {staged}, source {source}"


def _files(sales: Sales, mode: str) -> list[str]:
    """Return the staged files of that mode. Their paths sort in the order of the windows."""
    return [str(path) for path in (sales.settings.stage_dir / STREAMS[mode].stage).glob("*/*.parquet")]


def _freshness(sales: Sales, commits: int) -> Ages:
    """Commit single rows while both processors run; return the seconds until each was staged, by mode."""
    committed: dict[int, float] = {}
    rng = random.Random(8)
    with _forever(sales.settings, "log"), _forever(sales.settings, "cursor"):
        with psycopg.connect(sales.server.dsn(), autocommit=True) as connection:
            connection.execute(INSERT, [_FIRST_OF_ALL, _FIRST_OF_ALL])
        _wait_for(sales, {_FIRST_OF_ALL})
        with psycopg.connect(sales.server.dsn()) as connection:
            for key in range(-commits, 0):
                connection.execute(INSERT, [key, key])
                committed[key] = time.time()
                connection.commit()
                time.sleep(rng.uniform(0.2, 1.8) * INTERVAL)
        _wait_for(sales, {*committed})
    staged = {mode: _staged_at(sales, mode) for mode in STREAMS}
    return {mode: [staged[mode][key] - moment for key, moment in committed.items()] for mode in STREAMS}


def _wait_for(sales: Sales, keys: set[int]) -> None:
    """Wait until both modes have staged the rows with these keys."""
    until = time.monotonic() + _ARRIVE_WITHIN
    while not all(keys <= _staged_at(sales, mode).keys() for mode in STREAMS):
        assert time.monotonic() < until, "rows were not staged"
        time.sleep(INTERVAL)


def _staged_at(sales: Sales, mode: str) -> dict[int, float]:
    """Return when the first window of each row that was committed for its freshness was complete."""
    import duckdb

    query = "select id, min(filename) from read_parquet(?, filename = true) where id < 0 group by id"
    with duckdb.connect() as reading:
        found = reading.execute(query, [_files(sales, mode)]).fetchall()
    windows = {key: Path(file).with_name("window.json") for key, file in found}
    return {key: path.stat().st_mtime for key, path in windows.items() if path.exists()}


@contextmanager
def _forever(settings: Settings, mode: str) -> Iterator[None]:
    """Run a processor with an interval."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=_process, args=(settings, mode, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()


def _process(settings: Settings, mode: str, stop: threading.Event) -> None:
    """Run the processor; called in a separate process."""
    leave_out("numpy", "pandas")
    settings = settings.model_copy(update={"heartbeat_file": settings.data_dir / f"{mode}.heartbeat"})
    process_forever(settings, (STREAMS[mode],), interval=INTERVAL, max_runtime=0, stop=stop)


if __name__ == "__main__":
    main()
