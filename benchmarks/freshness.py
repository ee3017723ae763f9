"""Measure the age of the dashboard's data: from the commit at the source to the published table.

It runs `adventure demo` with its generator, processor, task server and dashboard, and commits marked orders beside it.
Each is in its own hour, in years without other sales, so that its row in `sales_by_hour` of the published copy
identifies it. They are committed at random intervals, so that they do not align with a schedule.

    make bench-freshness, or python -m benchmarks.freshness [--minutes 10]
"""

import argparse
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.demo.sandbox.process import free_port, stop
from benchmarks.results import Results, add_argument

MEDIAN_GOAL, LATE_GOAL = 10.0, 20.0
FIRST_HOUR, END_HOUR = datetime(2018, 1, 1), datetime(2020, 1, 1)
"""An hour without other sales: the history ends in 2014, and the demo's sales begin 60 days ago."""

_SHOWN = "select distinct order_hour from sales_by_hour where order_hour >= ? and order_hour < ?"
_LOOK_EVERY = 0.05
_START_WITHIN, _ARRIVE_WITHIN = 300.0, 120.0

_ORDER = """
insert into orders
select
    %(order)s, 8, 5, 1, 'SO1', null, '10-4030-011000', 11000, null, 1, 13000, 13000, 1, null, null, null,
    10, 0.8, 0.25, 11.05, null, %(hour)s + interval '12 days', %(hour)s, %(hour)s + interval '7 days',
    clock_timestamp() at time zone 'utc'
"""
_LINE = """
insert into order_details values (%(line)s, %(order)s, null, 1, 707, 1, 10, 0, 10, clock_timestamp() at time zone 'utc')
"""


class Watch:
    """The marked hours in the published copy, and when each was first seen."""

    def __init__(self, published: Path) -> None:
        self.seen: dict[datetime, float] = {}
        self._published, self._inode = published, 0

    def refresh(self) -> None:
        """Read the copy if it is a new one."""
        try:
            inode = self._published.stat().st_ino
        except FileNotFoundError:
            return
        if inode == self._inode:
            return
        now, self._inode = time.monotonic(), inode
        with duckdb.connect(str(self._published), read_only=True) as copy:
            rows = copy.execute(_SHOWN, [FIRST_HOUR, END_HOUR]).fetchall()
        for (hour,) in rows:
            self.seen.setdefault(hour, now)

    def wait(self, seconds: float, until: set[datetime] | None = None) -> None:
        """Poll for that long, or until those hours are in the copy."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until is not None and until <= self.seen.keys()):
            time.sleep(_LOOK_EVERY)
            self.refresh()


def commit(connection: "psycopg.Connection[Any]", hour: datetime) -> float:
    """Commit an order of that hour with one line; return the time before the commit, so that ages are upper bounds."""
    values = {"order": uuid.uuid4(), "line": uuid.uuid4(), "hour": hour}
    connection.execute(_ORDER, values)
    connection.execute(_LINE, values)
    moment = time.monotonic()
    connection.commit()
    return moment


def measure(settings: Settings, seconds: float, interval: float) -> list[float]:
    """Return the seconds from commit to publication of each marked order.

    Args:
        settings: of the demo's shop application, which can write.
        interval: mean seconds between two marked orders.

    Raises:
        RuntimeError: an order was never published.
    """
    watch, rng = Watch(settings.published_path), random.Random(8)
    committed: dict[datetime, float] = {}
    with psycopg.connect(settings.postgres_dsn) as connection:
        # The first order only shows that everything has started; it is not counted.
        committed[FIRST_HOUR] = commit(connection, FIRST_HOUR)
        watch.wait(_START_WITHIN, {FIRST_HOUR})
        begun, number = time.monotonic(), 0
        while time.monotonic() < begun + seconds:
            number += 1
            hour = FIRST_HOUR + timedelta(hours=number)
            committed[hour] = commit(connection, hour)
            watch.wait(rng.uniform(0.2, 1.8) * interval)
        watch.wait(_ARRIVE_WITHIN, set(committed))
    missing = committed.keys() - watch.seen.keys()
    if missing:
        raise RuntimeError(
            f"{len(missing)} of {len(committed)} marked orders were not published: see the demo's output"
        )
    return [watch.seen[hour] - at for hour, at in committed.items() if hour != FIRST_HOUR]


@contextmanager
def demo(folder: Path, orders: int) -> Iterator[Settings]:
    """Run a demo; yield the settings of its shop application when it is in its loop."""
    log = (folder / "demo.log").open("wb")
    environment = os.environ | {"DATA_DIR": str(folder), "DASHBOARD_PORT": str(free_port(8601))}
    command = [sys.executable, "-m", "adventure", "demo", "--orders", str(orders)]
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True) as process:
        try:
            yield _await_loop(process, folder)
        finally:
            stop(process, signal.SIGINT)


def _await_loop(process: subprocess.Popen[bytes], folder: Path) -> Settings:
    for _ in range(int(_START_WITHIN / 0.2)):
        # The demo's last line of output before the loop.
        if b"The dashboard is at" in (folder / "demo.log").read_bytes():
            return load_settings(folder / "demo.env", postgres_user="sales_app")
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise RuntimeError("The demo did not start:\n" + (folder / "demo.log").read_text(encoding="utf-8")[-2000:])


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--interval", type=float, default=2.0, help="mean seconds between two marked orders")
    parser.add_argument("--orders", type=int, default=5_000, help="number of orders at the start of the demo")
    add_argument(parser)
    options = parser.parse_args()
    results = Results("freshness")
    with tempfile.TemporaryDirectory() as folder, demo(Path(folder), options.orders) as settings:
        ages = measure(settings, 60 * options.minutes, options.interval)
    print(f"{len(ages)} marked orders in {options.minutes:g} minutes; load average {os.getloadavg()[1]:.1f}")
    print(f"least {min(ages):.1f} s, mean {statistics.mean(ages):.1f} s, most {max(ages):.1f} s")
    results.add("commit to dashboard, median", [percentile(ages, 0.5)], goal=MEDIAN_GOAL)
    results.add("commit to dashboard, 99 %", [percentile(ages, 0.99)], goal=LATE_GOAL)
    results.write(options.json)


if __name__ == "__main__":
    main()
