"""When connections are closed, reset or stalled at any phase of an extract, the processor continues and loses nothing.

The real command runs in a process of its own, so that an abort of the driver is seen. `BROKEN_ROUNDS=40` makes it long.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.databases import Databases
from adventure.sources.postgres import decoder
from tests.conftest import ROOT
from tests.processor.conftest import Rows, writer
from tests.proxy import How, Proxy, Strike

ROUNDS = int(os.environ.get("BROKEN_ROUNDS", "2"))
SEED = int(os.environ.get("BROKEN_SEED", "1"))

STUCK_AFTER_SEC = 1.5
SHORT_SEC, LONG_SEC = 0.15, 2 * STUCK_AFTER_SEC

SOURCE, STATE = "source", "state"
INSTALLED = decoder.is_installed()
"""Whether the compiled decoder reads the rows; if not, ADBC does."""


@dataclass(frozen=True)
class Phase:
    """A point in a cycle at which a connection is broken."""

    name: str
    trigger: bytes = b""
    size: int = 0
    """The strike occurs after at most that many bytes of the answer."""
    before: bytes = b""
    early: int = 0
    connection: str = SOURCE
    skip: int = 0
    opening: bool = False
    """Whether the phase occurs only when the processor connects."""


PHASES = [
    Phase("connect, the connection that asks", size=700, opening=True),
    *([] if INSTALLED else [Phase("connect, ADBC's lookup of types", size=100_000, skip=1, opening=True)]),
    Phase("connect, the connection that extracts", size=800, skip=1 if INSTALLED else 2, opening=True),
    Phase("session settings", b"set timezone", 90, opening=True),
    Phase("begin", b"begin isolation level", 15),
    # A session sends the text of a prepared question once, and then its name.
    Phase("catalogue", b"has_table_privilege", 160, opening=True),
    Phase("lock", b"lock table", 22),
    Phase("columns", b"pg_attribute as a", 250, opening=True),
    Phase("horizon", b"pg_stat_activity", 100, opening=True),
    Phase("a prepared question", b"\x00_pg3_", 250),
    Phase("savepoint", b"savepoint before_extract", 15),
    Phase("prepare", b'\x00select "id"', 11),
    Phase("describe", b"D\x00\x00\x00\x06S\x00", 90),
    Phase("first batch", b'COPY (select "id"', 2_000),
    Phase("first batch of the second stream", b'COPY (select "id"', 2_000, skip=1),
    Phase("middle", b'COPY (select "id"', 60_000),
    Phase("middle of the second stream", b'COPY (select "id"', 60_000, skip=1),
    Phase("end: trailer, confirmation", b'COPY (select "id"', before=b"COPY ", early=20),
    Phase("rejects", b"COPY (select array_to_string", 80),
    Phase("rows dated in the future", b"statement_timestamp", 90),
    Phase("end of the transaction", b"rollback", 20),
    Phase("state: connect", size=700, connection=STATE, opening=True),
    Phase("state: table", b"pg_advisory_xact_lock", 100, connection=STATE, opening=True),
    Phase("state: watermark moves", b"on conflict (stream)", 60, connection=STATE),
    Phase("state: lock", b"pg_try_advisory_lock", 80, connection=STATE, opening=True),
]


INSERT = """
insert into {} (id, note, due)
select n, md5(n::text) || repeat('x', 2000), case when n %% 10 = 0 then 'infinity' else date '2026-01-01' + n end
from generate_series(%s::int, %s) as n
"""
UPDATE = "update {} set changed_at = default, note = note || 'y' where id = any(%s)"


class Processor:
    """Runs `adventure process` in a subprocess, with a log."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log
        # Use small batches, so that an extract takes several, and libpq's shortest connect timeout.
        script = (
            "from adventure.core import connect; connect._SESSION['connect_timeout'] = 2\n"
            "from adventure.sources.postgres import copy; copy.BYTES_A_BATCH = 16 << 10\n"
            "from adventure.cli import main; main()"
        )
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", script, "process"],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def errors(self) -> str:
        """The last lines of the log, without those about windows."""
        lines = [line for line in self.log.splitlines() if "new rows" not in line and ": staged " not in line]
        return "\n".join(lines[-40:])

    def check(self, while_: str) -> None:
        """Assert that it still runs."""
        code = self._process.poll()
        assert code is None, f"{while_}: ended with {_name(code)}\n{self.errors}"

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self) -> None:
        """Send SIGKILL if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@dataclass
class World:
    """Sources behind proxies, a writer, and a processor."""

    settings: Settings
    writer_settings: Settings
    processor: Processor
    proxies: dict[str, Proxy]
    streams: tuple[Stream, ...]
    staged: Callable[[Stream], Rows]
    rejected: Callable[[Stream], Rows]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Insert and update rows of some kilobytes, of which a few cannot be converted, until the block ends."""
        stop, errors = threading.Event(), []

        def write() -> None:
            chance, last = random.Random(SEED), 0
            try:
                with writer(self.writer_settings) as connection:
                    while not stop.wait(0.1):
                        for stream in self.streams:
                            connection.execute(INSERT.format(stream.table), [last + 1, last + 12])  # type: ignore[arg-type]
                            changed = [chance.randint(1, last + 12) for _ in range(2)]
                            connection.execute(UPDATE.format(stream.table), [changed])  # type: ignore[arg-type]
                        last += 12
            except psycopg.Error as error:
                errors.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not errors

    def strike(self, strike: Strike, connection: str, name: str, *, opening: bool) -> None:
        """Arm a strike and wait until it has happened. For a phase with `opening`, make the processor connect again."""
        proxy = self.proxies[connection]
        proxy.arm(strike)
        if opening:
            proxy.strike_all(How.RESET)
        deadline = time.monotonic() + 60
        while not proxy.wait(strike, 0.2):
            self.processor.check(name)
            assert time.monotonic() < deadline, f"{name} never came\n{self.processor.errors}"

    def until_all_is_staged(self) -> None:
        """Wait until the stage holds the last version of every row."""
        deadline = time.monotonic() + 120
        while lost := self._missing():
            self.processor.check("afterwards")
            assert time.monotonic() < deadline, f"{len(lost)} rows lost: {lost[:5]}\n{self.processor.errors}"
            time.sleep(0.5)

    def staged_twice(self) -> list[Any]:
        """Return the versions that the stage holds more than once."""
        counts = Counter((stream.name, *version) for stream in self.streams for version in self._versions(stream))
        return [version for version, count in counts.items() if count > 1]

    def _missing(self) -> list[Any]:
        """Return the source rows whose last version is not in the stage, value for value."""
        missing: list[Any] = []
        with psycopg.connect(self.settings.postgres_dsn) as connection:
            for stream in self.streams:
                staged = set(self._versions(stream))
                rows = connection.execute(
                    f"select id, changed_at, note, nullif(due, 'infinity') from {stream.table}"  # type: ignore[arg-type]
                )
                missing += [(stream.name, *row) for row in rows if row not in staged]
        return missing

    def _versions(self, stream: Stream) -> Iterator[tuple[Any, ...]]:
        for row in self.staged(stream):
            yield row["id"], row["changed_at"], row["note"], row["due"]
        for reject in self.rejected(stream):
            row = orjson.loads(reject["row"])
            yield row["id"], datetime.fromisoformat(row["changed_at"]), row["note"], None


STREAMS = """
[streams.{name}]
source = "postgres"
namespace = "public"
table = "{name}"
cursor = "changed_at"
key = "id"
stage = "{name}_stage"
raw_table = "raw_ext.{name}_raw"
"""


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    databases: Databases,
    settings: Settings,
    writer_settings: Settings,
    staged: Callable[[Stream], Rows],
    rejected: Callable[[Stream], Rows],
    tmp_path: Path,
) -> Iterator[World]:
    tables = ["things", "others"]
    with writer(writer_settings) as connection:
        for table in tables:
            connection.execute(
                f"create table {table} (id integer primary key,"  # type: ignore[arg-type]
                " changed_at timestamp not null default (clock_timestamp() at time zone 'utc'), note text, due date)"
            )
            connection.execute(f"create index on {table} (changed_at)")  # type: ignore[arg-type]
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text("".join(STREAMS.format(name=table) for table in tables), encoding="utf-8")
    state = conninfo_to_dict(settings.state_conninfo)
    with Proxy(settings.postgres_port) as source, Proxy(int(str(state["port"]))) as state_proxy:
        environment = databases.reader_env | {
            "POSTGRES_PORT": str(source.port),
            "STATE_DSN": make_conninfo(settings.state_conninfo, port=state_proxy.port),
            "DATA_DIR": str(settings.data_dir),
            "PIPELINE_FILE": str(pipeline),
            "PROCESSOR_INTERVAL_SEC": "0.02",
            "STUCK_AFTER_SEC": str(getattr(request, "param", STUCK_AFTER_SEC)),
        }
        processor = Processor(environment, tmp_path / "processor.log")
        try:
            streams = load_streams(settings.model_copy(update={"pipeline_file": pipeline}))
            proxies = {SOURCE: source, STATE: state_proxy}
            yield World(settings, writer_settings, processor, proxies, streams, staged, rejected)
        finally:
            processor.kill()


@pytest.mark.slow
@pytest.mark.timeout(300 + 120 * ROUNDS)
def test_connections_that_break_at_every_phase(world: World) -> None:
    chance = random.Random(SEED)
    # A changed bit is noticed over TLS only; see test_tls.py.
    strikes = [(phase, how) for phase in PHASES for how in (How.CUT, How.RESET, How.STALL)] * ROUNDS
    chance.shuffle(strikes)
    _strike_and_compare(world, chance, strikes, SHORT_SEC)


@pytest.mark.slow
@pytest.mark.timeout(300 + 120 * ROUNDS)
def test_connections_that_stall_for_longer_than_the_processor_waits(world: World) -> None:
    chance = random.Random(SEED)
    phases = PHASES * (ROUNDS // 4) or PHASES[::2]
    _strike_and_compare(world, chance, [(phase, How.STALL) for phase in phases], LONG_SEC)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", [600], indirect=True)
@pytest.mark.parametrize("name", ["horizon", "middle"])
def test_a_processor_that_waits_for_an_answer_can_be_stopped(world: World, name: str) -> None:
    (phase,) = (phase for phase in PHASES if phase.name == name)
    with world.writing():
        world.strike(Strike(How.STALL, phase.trigger, seconds=3600), phase.connection, name, opening=phase.opening)
    assert world.processor.stop() == 0, world.processor.log


def _strike_and_compare(world: World, chance: random.Random, strikes: list[tuple[Phase, How]], stall: float) -> None:
    with world.writing():
        for phase, how in strikes:
            strike = Strike(
                how,
                phase.trigger,
                after=chance.randint(0, phase.size),
                before=phase.before,
                early=chance.randint(0, phase.early),
                skip=phase.skip,
                seconds=stall,
            )
            world.strike(strike, phase.connection, f"{how} at {phase.name}", opening=phase.opening)
        for proxy in world.proxies.values():
            proxy.disarm()
    world.until_all_is_staged()
    assert world.staged_twice() == []
    assert world.processor.stop() == 0
    said = world.processor.log
    assert [line for line in said.splitlines() if "refuses" in line or "Traceback" in line] == []
