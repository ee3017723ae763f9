"""Does a row that commits late get lost? Writers with open transactions, processors in tight cycles, and a full count.

Sixteen writers insert and update orders with their lines in transactions that stay open from a millisecond to seconds,
while processors extract windows as fast as they can. At the end every row of the source is looked for in the stage.
Beside them a poller reads `cursor > the largest seen`, as a yardstick: what it misses shows how hard the run was.

    make stress                                     every scenario, 100,000 rows each
    make stress STRESS_ARGS="horizon --rows 5000"   one, smaller

A scenario is a value: another way to write or to read is another `Scenario`, another database another `System`.
"""

import argparse
import logging
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from pydantic import SecretStr

from adventure.processor.cycle import Pipeline, run_cycle
from adventure.processor.plan import Plan
from adventure.processor.postgres import PostgresSource
from adventure.processor.state import State
from adventure.reconcile.run import reconcile
from adventure.sandbox import Sandbox
from adventure.sandbox.databases import create_databases
from adventure.settings import Settings, load_settings
from adventure.stage.folder import FolderStage
from adventure.stage.manifest import Window
from adventure.streams import Stream
from adventure.warehouse import open_warehouse

Versions = dict[int, int]
"""Key -> version, which every write of the row counts up."""


@dataclass(frozen=True)
class Clock:
    """How writers set the cursor."""

    of: str = "server"
    """`server`, within the writing transaction, or `client`."""
    offset: float = 0.0
    """Seconds by which a client's clock is wrong."""
    jump: float = 0.0
    """Seconds by which it is set when half of the rows are written."""

    def now(self, progress: float) -> datetime | None:
        """The cursor to write; None: the server sets it."""
        if self.of == "server":
            return None
        wrong = self.offset + (self.jump if progress >= 0.5 else 0.0)
        return datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=wrong)


@dataclass(frozen=True)
class Load:
    """How much is written, and how."""

    rows: int = 100_000
    """Inserts and updates that are committed, of orders and lines together."""
    writers: int = 16
    longest: float = 5.0
    """Seconds that the longest transaction stays open; the shortest, a millisecond."""
    processors: int = 2
    rows_a_transaction: int = 48


@dataclass(frozen=True)
class Scenario:
    """A way to write and a way to read, and what is promised of it."""

    name: str
    clock: Clock = Clock()
    lookback: float = 0.0
    """Seconds; of every stream."""
    privileged: bool = True
    """Whether the role sees open transactions; without, the processor falls back to a lookback."""
    lossless: bool = True
    """Whether no row may be missing. Where one may, `adventure reconcile` has to find it."""
    most_read: float = math.inf
    """Rows read for each row written, at most."""

    def shortened(self, factor: float) -> "Scenario":
        """The same with clocks that are less wrong; only a lookback that is to be exceeded shrinks with them."""
        clock = replace(self.clock, offset=self.clock.offset * factor, jump=self.clock.jump * factor)
        return replace(self, clock=clock, lookback=self.lookback * (1 if self.lossless else factor))


SCENARIOS = (
    Scenario("horizon", most_read=1.6),
    Scenario("without privileges", privileged=False),
    Scenario("client's clock 30 s behind", Clock("client", -30), lookback=10),
    Scenario("client's clock 30 s ahead", Clock("client", 30), lookback=10),
    Scenario("client's clock jumps 30 s back", Clock("client", 0, -30), lookback=45),
    Scenario("client's clock jumps past the lookback", Clock("client", 0, -30), lookback=10, lossless=False),
)


@dataclass
class Figures:
    """What one run of one scenario came to; of several processors, the worst."""

    scenario: str
    written: int = 0
    missing: int = 0
    """Rows whose last version was never staged."""
    stale: int = 0
    """Rows whose last version was staged, and is not the latest by its cursor: its writer's clock went back."""
    doubled: int = 0
    """Rows more than the source has, when each key is kept once."""
    orphans: int = 0
    """Lines that were staged before their order, at any moment."""
    read: float = 0.0
    """Rows read for each row written."""
    staged: float = 0.0
    """Rows staged for each row written."""
    cycles: int = 0
    detected: int = 0
    """Rows missing or stale that `adventure reconcile` finds; it is asked where some may be."""
    undetected: int = 0
    """Rows missing that it does not find."""
    plain_missing: int = 0
    """Rows that `cursor > the largest seen` lost in the same run."""
    seconds: float = 0.0

    def faults(self, scenario: Scenario) -> list[str]:
        """Which promises were broken."""
        found = [f"{self.missing:,} rows missing"] if self.missing and scenario.lossless else []
        found += [f"{self.undetected:,} missing rows that reconcile does not find"] if self.undetected > 0 else []
        found += [f"{self.doubled:,} rows doubled"] if self.doubled else []
        found += [f"{self.orphans:,} lines staged before their order"] if self.orphans else []
        found += [f"{self.read:.2f} rows read for each"] if self.read > scenario.most_read else []
        return [f"{self.scenario}: {fault}" for fault in found]


class System(Protocol):
    """A database under stress: how it is written and read."""

    def write(self, scenario: Scenario, load: Load, stop: threading.Event) -> int:
        """Writes `load.rows` rows with all writers; the number written."""

    def truth(self) -> tuple[Versions, Versions]:
        """The last version of each order and each line, once the writers are done."""

    def drained_at(self) -> datetime:
        """Past this horizon every row has been read."""

    def processor(self, scenario: Scenario, number: int) -> "Processor":
        """A processor with watermarks and a stage of its own."""

    def plain(self) -> "Plain":
        """The yardstick."""


class Processor:
    """The real thing, in tight cycles, with every window looked at when it is staged."""

    def __init__(self, settings: Settings, streams: Sequence[Stream]) -> None:
        self._settings, self._streams = settings, tuple(streams)
        self.staged: tuple[dict[int, set[int]], dict[int, set[int]]] = ({}, {})
        self.latest: tuple[dict[int, tuple[datetime, int]], dict[int, tuple[datetime, int]]] = ({}, {})
        self.orphans = self.cycles = self.rows_read = self.rows_staged = 0
        self.horizon = datetime.min
        self.failure: BaseException | None = None

    def run(self, stop: threading.Event, drained_at: Callable[[], datetime]) -> None:
        """Cycles until told to stop, and from then on until everything has been read."""
        try:
            with self._open() as pipeline:
                stopped = False
                while not stopped or self.horizon <= drained_at():
                    # A cycle that began before the last commit does not count.
                    stopped = stop.is_set()
                    self._cycle(pipeline)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.failure = error

    def detected(self) -> int:
        """Loads what is staged, and asks `adventure reconcile` what the warehouse lacks."""
        warehouse = open_warehouse(self._settings)
        for stream in self._streams:
            warehouse.load(stream)
        results = [report.result for report in reconcile(self._settings, self._streams)]
        return sum(result.count(verdict) for result in results if result for verdict in ("missing", "stale", "behind"))

    def _cycle(self, pipeline: Pipeline) -> None:
        report = run_cycle(pipeline)
        if report.failures:
            raise next(iter(report.failures.values()))
        self.cycles += 1

    @contextmanager
    def _open(self) -> Iterator[Pipeline]:
        processor = self

        class Watching(FolderStage):
            def commit(self, window: Window) -> None:
                super().commit(window)
                processor._look_at(window, [self.path(window, file.name) for file in window.files])

        class Counting(PostgresSource):
            @contextmanager
            def batches(self, plan: Plan, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
                with super().batches(plan, query) as batches:
                    yield map(counted, batches)

            @contextmanager
            def cut(self, *arguments: Any) -> Iterator[Any]:
                with super().cut(*arguments) as cut:
                    yield cut
                processor.horizon = cut.horizon

        def counted(batch: pa.RecordBatch) -> pa.RecordBatch:
            processor.rows_read += batch.num_rows
            return batch

        source = Counting(self._settings)
        try:
            with State(self._settings, self._streams) as state:
                stage = Watching(self._settings.stage_dir)
                yield Pipeline(tuple(self._streams), {"postgres": source}, stage, state, self._settings.unfinished_dir)
        finally:
            source.close()

    def _look_at(self, window: Window, paths: list[Path]) -> None:
        """Enters the window's rows; a line whose order is not there by now was staged too early."""
        which = 0 if window.stream == self._streams[0].name else 1
        for path in paths:
            table = pq.read_table(path)
            self.rows_staged += table.num_rows
            keys, versions, moments = (table.column(name).to_pylist() for name in ("id", "version", "changed_at"))
            for key, version, moment in zip(keys, versions, moments, strict=True):
                self.staged[which].setdefault(key, set()).add(version)
                self.latest[which][key] = max(self.latest[which].get(key, (moment, 0)), (moment, version))
            if which == 1:
                self.orphans += sum(order not in self.staged[0] for order in table.column("order_id").to_pylist())


class Plain:
    """`cursor > the largest seen`, which loses what commits late."""

    def __init__(self, dsn: str, tables: Sequence[str]) -> None:
        self._dsn, self._tables = dsn, tables
        self.staged: tuple[dict[int, set[int]], ...] = tuple({} for _ in tables)

    def run(self, stop: threading.Event) -> None:
        """Polls until told to stop, and once more."""
        largest = [datetime.min] * len(self._tables)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            last = False
            while not last:
                last = stop.is_set()
                for index, table in enumerate(self._tables):
                    query = f"select id, version, changed_at from {table} where changed_at > %s"
                    for key, version, moment in connection.execute(query, [largest[index]]):  # type: ignore[arg-type]
                        self.staged[index].setdefault(key, set()).add(version)
                        largest[index] = max(largest[index], moment)
                time.sleep(0.01)


@dataclass
class PostgresSystem:
    """Orders and lines in a database of the embedded PostgreSQL."""

    sandbox: Sandbox
    folder: Path
    name: str
    _reader: Settings = field(init=False)
    _writer: str = field(init=False)

    TABLES = ("orders", "lines")
    SCHEMA = """
        create table orders (
            id integer primary key, version integer not null default 1,
            changed_at timestamp not null default (now() at time zone 'utc')
        );
        create table lines (
            id integer primary key, order_id integer not null references orders, version integer not null default 1,
            changed_at timestamp not null default (now() at time zone 'utc')
        );
        create index on orders (changed_at); create index on lines (changed_at); create index on lines (order_id);
        do $$ begin
            if not exists (select from pg_roles where rolname = 'unprivileged') then
                create role unprivileged login;
            end if;
        end $$;
        grant usage on schema public to unprivileged, adventure_reader;
        grant select on all tables in schema public to unprivileged, adventure_reader;
    """

    def __post_init__(self) -> None:
        made = create_databases(self.sandbox, self.name)
        environment = {name.lower(): value for name, value in made.reader_env.items()}
        self._reader = load_settings(**environment, data_dir=self.folder, pipeline_file=Path("none"))
        self._writer = self.sandbox.postgres.dsn(self.name)
        with psycopg.connect(self._writer, autocommit=True) as connection:
            connection.execute(self.SCHEMA)
            connection.execute(f"alter role unprivileged password '{self.sandbox.password}'")  # type: ignore[arg-type]
        # The watermarks' table is made by whoever comes first, and here several come at once.
        State(self._reader, []).close()

    def write(self, scenario: Scenario, load: Load, stop: threading.Event) -> int:
        """See `System`."""
        counts, failures = [0] * load.writers, []

        def work(number: int) -> None:
            try:
                with psycopg.connect(self._writer) as connection:
                    writer = _Writer(connection, number, scenario.clock)
                    while sum(counts) < load.rows and not stop.is_set():
                        counts[number] += writer.transaction(load, sum(counts) / load.rows)
            except psycopg.Error as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(load.writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        if not scenario.lossless:
            self._go_on(scenario)
        return sum(counts)

    def _go_on(self, scenario: Scenario) -> None:
        """Writes once more, a lookback later: what lies within it is in flight, which no reconciliation counts."""
        with psycopg.connect(self._writer) as connection:
            later = self.drained_at() + timedelta(seconds=scenario.lookback)
            connection.execute("insert into orders values (2000000000, 1, %s)", [later])
            connection.execute("insert into lines values (2000000000, 2000000000, 1, %s)", [later])

    def truth(self) -> tuple[Versions, Versions]:
        """See `System`."""
        with psycopg.connect(self._writer) as connection:
            orders, lines = (connection.execute(f"select id, version from {each}").fetchall() for each in self.TABLES)  # type: ignore[arg-type]
        return dict(orders), dict(lines)

    def drained_at(self) -> datetime:
        """See `System`."""
        with psycopg.connect(self._writer) as connection:
            query = "select greatest((select max(changed_at) from orders), (select max(changed_at) from lines))"
            found = connection.execute(query).fetchone()
        return found[0] if found and found[0] else datetime.min

    def processor(self, scenario: Scenario, number: int) -> Processor:
        """See `System`. Streams of its own name are locked on their own."""
        changes: dict[str, Any] = {"data_dir": self.folder / str(number)}
        if not scenario.privileged:
            changes |= {"postgres_user": "unprivileged", "postgres_password": SecretStr(self.sandbox.password)}
        names = [f"{table}_{number}" for table in self.TABLES]
        orders, lines = (
            Stream(
                name, "postgres", "public", table, "changed_at", ("id",), name, f"raw_ext.{name}",
                lookback=timedelta(seconds=scenario.lookback),
            )
            for name, table in zip(names, self.TABLES, strict=True)
        )  # fmt: skip
        lines = replace(lines, references={orders.name: ("order_id",)})
        return Processor(self._reader.model_copy(update=changes), [orders, lines])

    def plain(self) -> Plain:
        """See `System`."""
        return Plain(self._writer, self.TABLES)


class _Writer:
    """One session that inserts orders with their lines and updates those that it wrote before."""

    LINES_AN_ORDER = 3

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]", number: int, clock: Clock) -> None:
        self._connection, self._clock = connection, clock
        self._random = random.Random(number)
        self._base, self._orders = number * 1_000_000, 0

    def transaction(self, load: Load, progress: float) -> int:
        """One transaction, open from a millisecond to the longest, often with an update right behind; rows written."""
        fresh = max(1, load.rows_a_transaction // (2 * (1 + self.LINES_AN_ORDER)))
        old = self._some_orders(fresh)
        rows = self._insert(fresh, progress)
        time.sleep(math.exp(self._random.uniform(math.log(0.001), math.log(load.longest))))
        rows += self._update(old, progress, with_lines=True)
        if self._random.random() < 0.3:
            rows += self._update(self._newest(fresh), progress, with_lines=False)
        self._connection.commit()
        if self._random.random() < 0.5:
            # An order that leaves its window while its lines stay in it.
            time.sleep(self._random.uniform(0, 0.2))
            rows += self._update(self._newest(fresh), progress, with_lines=False)
            self._connection.commit()
        return rows

    def _newest(self, count: int) -> list[int]:
        return [self._base + index for index in range(max(0, self._orders - count), self._orders)]

    def _some_orders(self, count: int) -> list[int]:
        chosen = self._random.sample(range(self._orders), min(count, self._orders))
        return [self._base + index for index in chosen]

    def _insert(self, count: int, progress: float) -> int:
        keys = [self._base + index for index in range(self._orders, self._orders + count)]
        self._orders += count
        orders = [{"id": key, "at": self._clock.now(progress)} for key in keys]
        lines = [
            {"id": key * 10 + line, "order": key, "at": self._clock.now(progress)}
            for key in keys
            for line in range(self.LINES_AN_ORDER)
        ]
        with self._connection.cursor() as cursor:
            now = "coalesce(%(at)s, now() at time zone 'utc')"
            cursor.executemany(f"insert into orders (id, changed_at) values (%(id)s, {now})", orders)  # type: ignore[arg-type]
            cursor.executemany(
                f"insert into lines (id, order_id, changed_at) values (%(id)s, %(order)s, {now})",  # type: ignore[arg-type]
                lines,
            )
        return len(orders) + len(lines)

    def _update(self, keys: list[int], progress: float, *, with_lines: bool) -> int:
        change = "set version = version + 1, changed_at = coalesce(%s::timestamp, clock_timestamp() at time zone 'utc')"
        now = self._clock.now(progress)
        rows = self._connection.execute(f"update orders {change} where id = any(%s)", [now, keys]).rowcount  # type: ignore[arg-type]
        if with_lines:
            rows += self._connection.execute(f"update lines {change} where order_id = any(%s)", [now, keys]).rowcount  # type: ignore[arg-type]
        return rows


def stress(system: System, scenario: Scenario, load: Load) -> Figures:
    """Runs one scenario to its end and counts."""
    begun, stop = time.monotonic(), threading.Event()
    processors = [system.processor(scenario, number) for number in range(load.processors)]
    plain = system.plain()
    pollers = [threading.Thread(target=each.run, args=[stop, system.drained_at]) for each in processors]
    pollers.append(threading.Thread(target=plain.run, args=[stop]))
    for poller in pollers:
        poller.start()
    try:
        written = system.write(scenario, load, stop)
    finally:
        stop.set()
        for poller in pollers:
            poller.join()
    for each in processors:
        if each.failure:
            raise each.failure
    truth = system.truth()
    worst = [_compare(truth, each.staged, each.latest) for each in processors]
    detected = [0 if scenario.lossless else each.detected() for each in processors]
    return Figures(
        scenario.name,
        written=written,
        missing=max(missing for missing, _, _ in worst),
        stale=max(stale for _, stale, _ in worst),
        doubled=max(doubled for _, _, doubled in worst),
        orphans=max(each.orphans for each in processors),
        read=max(each.rows_read for each in processors) / written,
        staged=max(each.rows_staged for each in processors) / written,
        cycles=min(each.cycles for each in processors),
        detected=max(detected),
        undetected=0 if scenario.lossless else max(each[0] - seen for each, seen in zip(worst, detected, strict=True)),
        plain_missing=_compare(truth, plain.staged)[0],
        seconds=time.monotonic() - begun,
    )


def _compare(
    truth: Sequence[Versions],
    staged: Sequence[dict[int, set[int]]],
    latest: Sequence[dict[int, tuple[datetime, int]]] = (),
) -> tuple[int, int, int]:
    """Rows missing, stale and doubled, over all tables."""
    missing = sum(
        version not in found.get(key, ())
        for true, found in zip(truth, staged, strict=True)
        for key, version in true.items()
    )
    stale = sum(
        kept[key][1] != version and version in found.get(key, ())
        for true, found, kept in zip(truth, staged, latest)  # noqa: B905 - the yardstick keeps no latest
        for key, version in true.items()
        if key in kept
    )
    doubled = sum(len(found.keys() - true.keys()) for true, found in zip(truth, staged, strict=True))
    return missing, stale, doubled


_HEADINGS = (
    "| scenario | rows written | missing | found by reconcile | missing by `> max` | doubled | stale"
    " | lines before their order | rows read per row | cycles | seconds |\n" + 11 * "|---" + "|"
)


def main() -> None:
    """Runs the scenarios named, or all, and prints a table; exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scenario", nargs="*", help=f"any of: {', '.join(each.name for each in SCENARIOS)}")
    parser.add_argument("--rows", type=int, default=Load.rows)
    parser.add_argument("--writers", type=int, default=Load.writers)
    parser.add_argument("--longest", type=float, default=Load.longest, help="seconds of the longest transaction")
    parser.add_argument("--processors", type=int, default=Load.processors)
    given = parser.parse_args()
    chosen = [each for each in SCENARIOS if not given.scenario or each.name in given.scenario]
    load = Load(given.rows, given.writers, given.longest, given.processors)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(_HEADINGS)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder) / "servers") as sandbox:
        for number, scenario in enumerate(chosen):
            system = PostgresSystem(sandbox, Path(folder) / str(number), f"stress_{number}")
            found = stress(system, scenario, load)
            print(
                f"| {found.scenario} | {found.written:,} | {found.missing:,} | {found.detected or '-'}"
                f" | {found.plain_missing:,} | {found.doubled:,} | {found.stale:,} | {found.orphans:,}"
                f" | {found.read:.2f} | {found.cycles:,} | {found.seconds:.0f} |",
                flush=True,
            )
            faults += found.faults(scenario)
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
