"""Run a cell in its own database, from the first write to the full count."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from adventure.core.environment import load_settings
from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.databases import Databases, create_databases
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.cycle import retryable, run_cycle
from adventure.processor.run import open_pipeline
from adventure.processor.state import read_watermarks
from tests.clocked import ClockedServer
from tests.stress.cells import CLOCK, Cell
from tests.stress.writers import DELETED, PROTOCOLS, Versions, Writer

WHOLE_CYCLES = 5
"""A row that did not come in so many cycles, begun after the source's clock had passed every row, is lost.

While the zone of a cursor is in doubt, a session that is active at the wrong moment keeps rows from two of them.
"""

TIMEOUT_SEC = 300.0
"""How long a loaded machine may take for that."""

_PASSED = """
select max(changed_at) + interval '2 seconds' < case
    when pg_typeof(max(changed_at)) = 'timestamp'::regtype then clock_timestamp() at time zone %s
    else clock_timestamp()
end from {}
"""

Pool = Callable[[str], int]


@dataclass(frozen=True)
class Outcome:
    """The result of a cell."""

    written: int
    lost: int
    unexpected: int
    """Rows or versions in the stage that were never acknowledged."""
    refused: str
    modes: frozenset[str]
    ended_early: bool = False
    """The machine was too slow to tell what is lost."""

    def faults(self, cell: Cell) -> list[str]:
        """Return the differences from the cell's promise."""
        if cell.result == "refused":
            return [] if cell.because in self.refused else [f"{cell}: not refused with '{cell.because}' but {self}"]
        found = [f"refused: {self.refused}"] if self.refused else []
        how = f"not staged after {TIMEOUT_SEC:.0f} s" if self.ended_early else "lost"
        found += [f"{how}: {self.lost:,} of {self.written:,} rows"] if self.lost else []
        found += [f"staged {self.unexpected:,} that were never committed"] if self.unexpected else []
        found += ["wrote nothing"] if not self.written else []
        if not any(cell.because in mode for mode in self.modes):
            found.append(f"no mode says '{cell.because}': {sorted(self.modes)}")
        return [f"{cell}: {fault}" for fault in found]


@dataclass
class World:
    """A server, with databases that are copies of a template."""

    server: Any
    """A `Sandbox`, or a stand-in for one."""
    folder: Path
    pool: Pool
    """Starts a pooler in a mode and returns its port."""
    name: str = "matrix"
    together: threading.Barrier | None = None
    """Synchronises cells that share a clock."""
    processors: list["Processor"] = field(default_factory=list)
    """Those of the cells that share a clock."""
    steps: list[tuple[float, float]] = field(default_factory=list)
    """How the clock is still to be set, as CLOCK says."""
    _made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._base: Databases = create_databases(self.server, self.name)
        with psycopg.connect(self.server.postgres.dsn(), autocommit=True) as connection:
            if not connection.execute("select 1 from pg_roles where rolname = 'adventure_bypass'").fetchone():
                connection.execute("create role adventure_bypass login bypassrls in role adventure_reader")
            if not connection.execute("select 1 from pg_roles where rolname = 'adventure_log'").fetchone():
                connection.execute("create role adventure_log login replication in role adventure_reader")
            password = sql.Literal(self.server.password)
            for role in ("adventure_bypass", "adventure_log"):
                connection.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), password))

    @contextmanager
    def database(self, cell: Cell) -> Iterator[tuple[Settings, str, str]]:
        """Create the cell's database; yield the processor's settings and the DSNs of writers and administrators."""
        with self._lock:
            self._made += 1
            name = f"{self.name}_{self._made}"
            with psycopg.connect(self.server.postgres.dsn(), autocommit=True) as connection:
                connection.execute(f"create database {name} template {self.name} owner sales_app".encode())
        environment = {key.lower(): value for key, value in self._base.reader_env.items()} | {
            "postgres_db": name,
            "postgres_user": cell.reader,
        }
        if cell.reads_through:
            environment["postgres_port"] = str(self.pool(cell.reads_through))
        settings = load_settings(**environment, data_dir=self.folder / name, pipeline_file=Path("none"))
        server = self.server.postgres
        port = self.pool(cell.writes_through) if cell.writes_through else server.port
        writing = replace(server, port=port).dsn(name, user="sales_app", password=self.server.password)
        try:
            yield settings, writing, server.dsn(name)
        finally:
            # A server that another test kills would sync the files of all its databases at the next start.
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", [name]
                )
                connection.execute(f"drop database {name} with (force)".encode())


def run_cell(world: World, cell: Cell, seconds: float) -> Outcome:
    """Write for that many seconds while a processor runs cycles, wait for the last rows, and count."""
    with world.database(cell) as (settings, writing, administrating):
        return _run(world, cell, seconds, settings, writing, administrating)


def _run(world: World, cell: Cell, seconds: float, settings: Settings, writing: str, administrating: str) -> Outcome:
    with psycopg.connect(administrating, autocommit=True) as administrator:
        if cell.administrator:
            administrator.execute(cell.administrator.format(database=settings.postgres_db).encode())
    with psycopg.connect(writing, autocommit=True, prepare_threshold=None) as owner:
        owner.execute(cell.relation.format(cursor=cell.cursor).encode())
        owner.execute("grant select on all tables in schema public to adventure_reader")
    stream = Stream(
        **{  # type: ignore[arg-type]
            "name": settings.postgres_db, "source": "postgres", "namespace": "public", "table": "things",
            "cursor": "changed_at", "key": ("id",), "stage": "things_stage", "raw_table": "raw_ext.things",
        } | {**cell.stream}
    )  # fmt: skip
    processor = Processor(settings, stream)
    writers, ended = Writers(cell, writing), threading.Event()
    with ExitStack() as stack:
        stack.callback(processor.join)
        processor.thread.start()
        threads = [threading.Thread(target=writers.write, args=[number, ended]) for number in range(cell.writers)]
        beside = threading.Thread(target=writers.beside, args=[threads])
        for thread in (*threads, *([beside] if cell.beside else [])):
            thread.start()
        _let_time_pass(world, cell, seconds, processor)
        ended.set()
        for thread in threads:
            thread.join()
        if cell.beside:
            beside.join()
        with psycopg.connect(administrating, autocommit=True) as administrator:
            ended_early = not _let_rows_come(cell, stream, processor, writers.acknowledged, administrator)
    for failure in filter(None, (*writers.failures, processor.failure)):
        raise failure
    mark = read_watermarks(settings).get(stream.name)
    return Outcome(
        written=len(writers.acknowledged),
        lost=processor.lacks(writers.acknowledged),
        unexpected=sum(version > writers.acknowledged.get(key, 0) for key, version in processor.staged().items()),
        refused=str(processor.refused or ""),
        modes=frozenset(processor.modes | ({mark.mode} if mark else set())),
        ended_early=ended_early,
    )


def _let_rows_come(
    cell: Cell, stream: Stream, processor: "Processor", acknowledged: Versions, administrator: psycopg.Connection[Any]
) -> bool:
    """Wait until every row is staged, or can come no more; False if the time did not suffice to tell."""
    deadline = time.monotonic() + TIMEOUT_SEC
    last_cycle: int | None = None
    while processor.thread.is_alive() and processor.lacks(acknowledged):
        if last_cycle is None:
            if administrator.execute(_PASSED.format(cell.target).encode(), [stream.zone]).fetchone() == (True,):
                # The cycle under way began before.
                last_cycle = processor.cycles + 1 + WHOLE_CYCLES
        elif processor.cycles >= last_cycle:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _let_time_pass(world: World, cell: Cell, seconds: float, processor: "Processor") -> None:
    """The time in which is written, while the clock is set; a stream that is refused need not be written for longer."""
    drives = cell.clock
    if world.together:
        world.processors.append(processor)
        drives = world.together.wait() == 0
    if drives:
        world.steps = list(CLOCK)
    if world.together:
        world.together.wait()
    begun, cycles = time.monotonic(), dict.fromkeys(world.processors or [processor], 0)
    while (time.monotonic() - begun < seconds or (cell.clock and world.steps)) and processor.thread.is_alive():
        if drives and time.monotonic() - begun >= world.steps[0][0] * seconds and _have_read(cycles):
            assert isinstance(world.server, ClockedServer)
            world.server.set_clock(world.steps[0][1])
            cycles = {each: each.cycles for each in cycles}
            world.steps.pop(0)
            drives = bool(world.steps)
        assert time.monotonic() - begun < seconds + TIMEOUT_SEC, "cycles take too long to set the clock meanwhile"
        time.sleep(0.02)


def _have_read(cycles: dict["Processor", int]) -> bool:
    """Whether each processor has staged a window, and has read at the clock of now.

    A step before the first window needs nothing, and no more than one step between two cycles can be noticed.
    """
    return all(
        (each.modes and each.cycles >= before + 2) or not each.thread.is_alive() for each, before in cycles.items()
    )


class Writers:
    """The writing sessions."""

    def __init__(self, cell: Cell, dsn: str) -> None:
        self._cell, self._dsn = cell, dsn
        self.acknowledged: Versions = {}
        self.failures: list[BaseException] = []

    def write(self, number: int, ended: threading.Event) -> None:
        """Write in one session with the cell's protocol until the run ends."""
        try:
            with psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None) as connection:
                if self._cell.session:
                    connection.execute(self._cell.session.encode())
                writer = Writer(connection, number, self._cell.target)
                while not ended.is_set():
                    PROTOCOLS[self._cell.protocol](writer)
                    writer.pause(0.06)
            self.acknowledged |= writer.acknowledged
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self.failures.append(error)

    def beside(self, writers: Sequence[threading.Thread]) -> None:
        """Repeat the cell's statements beside the writers, and once more after they have ended."""
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                number, last = 1, False
                while not last:
                    last = not any(writer.is_alive() for writer in writers)
                    key = number * 1_000_000_000
                    connection.execute(self._cell.beside.format(n=number, key=key).encode())
                    if "{key}" in self._cell.beside:
                        self.acknowledged[key] = 1
                    number += 1
                    time.sleep(0.3)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self.failures.append(error)


class Processor:
    """The real processor in repeated cycles, and the rows that it has staged."""

    def __init__(self, settings: Settings, stream: Stream) -> None:
        self._settings, self._stream = settings, stream
        self._stop = threading.Event()
        self._staged: Versions = {}
        self._read: set[str] = set()
        self.modes: set[str] = set()
        self.cycles = 0
        """Those that ended without a failure."""
        self.refused: AdventureError | None = None
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with open_pipeline(self._settings, [self._stream]) as pipeline:
                    while not self._stop.wait(0.05):
                        report = run_cycle(pipeline)
                        for failure in report.failures.values():
                            raise failure
                        self.cycles += 1
                        if mark := pipeline.state.watermarks.get(self._stream.name):
                            self.modes.add(mark.mode)
            except AdventureError as error:
                if not retryable(error):
                    self.refused = error
                    return
            except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
                self.failure = error
                return

    def join(self) -> None:
        """Stop the processor."""
        self._stop.set()
        self.thread.join()

    def staged(self) -> Versions:
        """Return the last version of each row in the stage."""
        stage = FolderStage(self._settings.stage_dir)
        for window in stage.windows(self._stream.stage):
            if window.id not in self._read:
                self._read.add(window.id)
                if window.deletes:
                    lines = gzip.decompress(stage.path(window, window.deletes.name).read_bytes()).splitlines()
                    self._staged |= {int(orjson.loads(line)["key"]["id"]): DELETED for line in lines}
                for file in window.files:
                    table = pq.read_table(stage.path(window, file.name), columns=["id", "version"])
                    for key, version in zip(
                        *(table.column(name).to_pylist() for name in ("id", "version")), strict=True
                    ):
                        self._staged[key] = max(version, self._staged.get(key, 0))
        return self._staged

    def lacks(self, acknowledged: Versions) -> int:
        """Return how many acknowledged versions are not staged. A row may be deleted before it was read at all."""
        staged = self.staged()
        unread = {DELETED: DELETED}
        return sum(staged.get(key, unread.get(version, 0)) < version for key, version in acknowledged.items())
