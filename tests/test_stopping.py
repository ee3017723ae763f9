"""SIGTERM stops every long-lived command cleanly, with exit code 0, whatever it is doing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import psycopg
import pytest

from adventure.core import stopping
from adventure.core.errors import SourceUnavailable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.demo.sandbox.databases import Databases
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.stage import FolderStage
from adventure.processor.run import process_once
from tests.conftest import ROOT
from tests.waiting import until

pytestmark = pytest.mark.slow

TIMEOUT_SEC = 180

INTERRUPTED = "Stopped in the middle of a round. The next start repeats it."
LAST_RESORT = "could not be interrupted"


class Service:
    """A long-lived command and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self._log = process, log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def await_line(self, text: str) -> None:
        """Wait until the log contains that text."""
        deadline = time.monotonic() + TIMEOUT_SEC
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def terminate(self) -> None:
        """Send SIGTERM; the command must exit by itself, well before a supervisor would kill it."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(TIMEOUT_SEC) == 0, self.log
        assert LAST_RESORT not in self.log


@contextmanager
def service(tmp_path: Path, environment: dict[str, str], *arguments: str) -> Iterator[Service]:
    """Run a command until the block ends."""
    path = tmp_path / "service.log"
    variables = {"DATA_DIR": str(tmp_path / "adventure"), "PROCESSOR_INTERVAL_SEC": "600", **environment}
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "adventure", *arguments], cwd=ROOT, env=os.environ | variables, stderr=log
        )
    try:
        yield Service(process, path)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_stop_between_two_batches(tmp_path: Path, databases: Databases) -> None:
    environment = databases.writer_env | {"GENERATION_INTERVAL_SEC": "600"}
    with service(tmp_path, environment, "generate") as running:
        running.await_line("generator: 200 orders")
        running.terminate()
        assert INTERRUPTED not in running.log


def test_stop_between_two_cycles(tmp_path: Path, databases: Databases, writer_settings: Settings) -> None:
    backfill(writer_settings, orders=10, days=1)
    with service(tmp_path, databases.reader_env, "process") as running:
        running.await_line("order_details: staged")
        running.terminate()
        assert INTERRUPTED not in running.log


def test_stop_between_two_task_runs(tmp_path: Path) -> None:
    with service(tmp_path, {"DBT_DIR": str(tmp_path)}, "tasks", "serve", "--every", "10m") as running:
        running.await_line("There is no dbt project")
        running.terminate()
        assert INTERRUPTED not in running.log


@pytest.mark.parametrize("command", ["generate", "process"])
def test_stop_while_a_database_is_unavailable(tmp_path: Path, command: str) -> None:
    environment = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(free_port(None)), "STATE_DSN": ""}
    with service(tmp_path, environment, command) as running:
        running.await_line("Trying again.")
        running.terminate()


def test_stop_while_a_query_waits_for_a_lock(
    tmp_path: Path, databases: Databases, settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    backfill(writer_settings, orders=10, days=1)
    with psycopg.connect(writer_settings.postgres_dsn) as locking:
        locking.execute("lock table orders in access exclusive mode")
        with service(tmp_path, databases.reader_env, "process") as running:
            await_waiting_session(writer_settings)
            running.terminate()
    assert_nothing_was_lost(settings, streams, orders=10)


def test_stop_during_a_large_extract(
    tmp_path: Path, databases: Databases, settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    backfill(writer_settings, orders=10, days=1)
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        # A view whose rows take minutes to fetch. The processor scans it once before that.
        connection.execute("alter table orders rename to sold")
        connection.execute(
            "create view orders as select sold.*"
            " from sold, generate_series(1, 10000) as n, generate_series(1, 1000) as m"
            " where n * m = 1 or sold.sales_order_id is not null and length(repeat('x', 2000)) > 0"
        )
        connection.execute("grant select on orders to adventure_reader")
    with service(tmp_path, databases.reader_env, "process") as running:
        running.await_line("orders: ")
        running.await_line(" rows read")
        running.terminate()
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        connection.execute("drop view orders")
        connection.execute("alter table sold rename to orders")
    assert_nothing_was_lost(settings, streams, orders=10)


def test_stop_during_a_build(tmp_path: Path) -> None:
    project = tmp_path / "dbt"
    (project / "models").mkdir(parents=True)
    shutil.copy(ROOT / "dbt" / "profiles.yml", project)
    (project / "dbt_project.yml").write_text("name: endless\nprofile: adventure\nmodels: {+materialized: table}\n")
    (project / "selectors.yml").write_text("selectors: [{name: whole, definition: {method: fqn, value: '*'}}]")
    (project / "models" / "quick.sql").write_text("select 1 as n")
    (project / "models" / "endless.sql").write_text(
        "select max(hash(i * n)) as most from range(1000000000) as t (i), {{ ref('quick') }}, range(1000000) as u (j)"
    )
    with service(tmp_path, {"DBT_DIR": str(project)}, "tasks", "serve", "--every", "10m") as running:
        # dbt writes a model's statement just before it runs.
        statement = tmp_path / "adventure" / "dbt" / "target" / "run" / "endless" / "models" / "endless.sql"
        await_that(statement.exists, running)
        time.sleep(1)
        running.terminate()
        assert INTERRUPTED in running.log


def test_stop_the_dashboard(tmp_path: Path) -> None:
    heartbeat, port = tmp_path / "heartbeat", str(free_port(None))
    with service(tmp_path, {"DASHBOARD_PORT": port, "HEARTBEAT_FILE": str(heartbeat)}, "dashboard") as running:
        begun = await_text(heartbeat)
        # The heartbeat starts when Streamlit answers.
        until(lambda: await_text(heartbeat) != begun)
        running.terminate()


def test_a_job_that_ignores_interrupts_is_stopped(tmp_path: Path) -> None:
    script = """
import signal, threading, time
from adventure.core import log, stopping
log.configure("text")
stopping.GRACE_SEC = stopping.UNWIND_SEC = 0.2
def stubborn(stop):
    print("working", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass
stopping.run_until_stopped(stubborn)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=TIMEOUT_SEC)
    assert process.returncode == 1
    assert LAST_RESORT in log


def test_an_ignored_interrupt_is_repeated() -> None:
    script = """
import time
from adventure.core import log, stopping
log.configure("text")
stopping.GRACE_SEC, stopping.UNWIND_SEC = 0.2, 20
def deaf_once(stop):
    print("working", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(60)
stopping.run_until_stopped(deaf_once)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_SEC) == 0


def test_a_second_signal_does_not_interrupt_closing() -> None:
    script = """
import os, signal, time
from adventure.core import log, stopping
log.configure("text")
stopping.GRACE_SEC, stopping.UNWIND_SEC = 0.2, 60
def work(stop):
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        for number in signal.SIGTERM, signal.SIGINT:
            os.kill(os.getpid(), number)
        print("closed", flush=True)
stopping.run_until_stopped(work)
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=TIMEOUT_SEC)
    assert (process.returncode, rest) == (0, "closed\n")


def test_a_one_time_command_stops_at_sigterm(tmp_path: Path) -> None:
    """The kernel does not deliver a signal without a handler to the first process of a container."""
    with service(
        tmp_path, {"POSTGRES_PORT": str(free_port(None)), "PROCESSOR_INTERVAL_SEC": "0"}, "process"
    ) as running:
        running.await_line("Trying again.")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(TIMEOUT_SEC) == 130


def test_a_jobs_exception_propagates_and_signal_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def job(_: Event) -> None:
        raise SourceUnavailable("away")

    with pytest.raises(SourceUnavailable):
        stopping.run_until_stopped(job)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def assert_nothing_was_lost(settings: Settings, streams: tuple[Stream, ...], *, orders: int) -> None:
    """Check that the next run stages each order once."""
    process_once(settings, streams)
    windows = FolderStage(settings.stage_dir).windows("orders_stage")
    assert sum(window.rows for window in windows) == orders


def await_waiting_session(settings: Settings) -> None:
    """Wait until a session of the reader waits for a lock."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        until(lambda: connection.execute("select count(*) from pg_locks where not granted").fetchone() != (0,))


def await_that(holds: Callable[[], bool], running: Service) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + TIMEOUT_SEC
    while not holds():
        assert running.process.poll() is None, running.log
        assert time.monotonic() < deadline, running.log
        time.sleep(0.05)


def await_text(path: Path) -> str:
    """Wait until the file has content, and return it."""
    until(lambda: path.exists() and path.read_text() != "")
    return path.read_text()
