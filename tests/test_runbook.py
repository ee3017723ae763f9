"""The guide for the night, carried out: each problem is caused, its commands are run as written, and it has ended.

A case does by hand what the guide leaves to people: it starts the database, grants the privilege, ends the session.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb import report
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.health.problem import KINDS, Problem
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from tests.program import Ended, run_program
from tests.test_remedies import HEADINGS
from tests.waiting import until

PIPELINE = """
[streams.orders]
source = "postgres"
namespace = "public"
table = "orders"
cursor = "updated_at"
key = "id"
stage = "orders_stage"
raw_table = "raw_ext.orders_raw"
types = { amount = "decimal(9,2)" }
"""
TABLE = """
drop table if exists orders cascade;
create table orders (id integer primary key, amount numeric, updated_at timestamptz not null default now());
create index on orders (updated_at);
grant select on orders to adventure_reader;
insert into orders values (1, 10), (2, 20);
"""
SERVICES = {
    "adventure process": {"PROCESSOR_INTERVAL_SEC": "0.3"},
    "adventure tasks serve": {"TASKS_INTERVAL_SEC": "1"},
}
"""Commands that run until they are stopped, with their settings."""


@dataclass
class Shop:
    """A pipeline of one table, used from the command line."""

    folder: Path
    environment: dict[str, str]
    server: str
    """Where its superuser connects."""
    capfd: pytest.CaptureFixture[str]
    ran: list[str] = field(default_factory=list)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def run(self, command: str, *codes: int) -> Ended:
        """Run a command as it stands in the guide."""
        self.ran.append(command)
        done = run_program(command.split()[1:], self.capfd, **self.environment)
        assert done.code in (codes or (0,)), (command, done)
        return done

    def prepare(self, *commands: str) -> None:
        """Run commands that are not the guide's."""
        for command in commands:
            self.run(command)
        self.ran.clear()

    def settings(self) -> Settings:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return load_settings()

    def problems(self) -> list[Problem]:
        settings = self.settings()
        return find_problems(read_state(settings, load_streams(settings)))

    def problem(self, kind: str) -> Problem | None:
        return next((each for each in self.problems() if each.kind == kind), None)

    @contextmanager
    def service(self, command: str) -> Iterator[None]:
        """Run a command that ends only when it is stopped."""
        with (self.folder / "service.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command.split()],
                env=os.environ | self.environment | SERVICES[command],
                stdout=log,
                stderr=log,
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()


@pytest.fixture
def shop(
    databases: Databases,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DuckDBWarehouse, "build", lambda *_, **__: "not in this test")
    monkeypatch.setattr(DuckDBWarehouse, "publish", lambda *_, **__: 0)
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    environment = databases.reader_env | {"DATA_DIR": "data", "COLUMNS": "300"}
    made = Shop(tmp_path, environment, sandbox.postgres.dsn(databases.reader_env["POSTGRES_DB"]), capfd)
    made.execute(TABLE)
    return made


def loaded(shop: Shop) -> None:
    shop.prepare("adventure process", "adventure load")


# Each case causes its problem, and then does what only a person can do.


@contextmanager
def another(shop: Shop, **environment: str) -> Iterator[None]:
    """Settings that are wrong until somebody corrects them."""
    before = {name: shop.environment.get(name) for name in environment}
    shop.environment |= environment
    yield
    shop.environment |= {name: value for name, value in before.items() if value is not None}
    for name in (name for name, value in before.items() if value is None):
        del shop.environment[name]


@contextmanager
def server_away(shop: Shop) -> Iterator[None]:
    with another(shop, POSTGRES_PORT=str(free_port(None))):
        yield


@contextmanager
def state_away(shop: Shop) -> Iterator[None]:
    away = make_conninfo(shop.environment["STATE_DSN"], port=free_port(None))
    with another(shop, STATE_DSN=away):
        yield


@contextmanager
def processor_stopped(shop: Shop) -> Iterator[None]:
    with closing(_heartbeat(shop)):
        pass
    yield


@contextmanager
def processor_stuck(shop: Shop) -> Iterator[None]:
    with closing(_heartbeat(shop)):
        os.utime(shop.settings().processor_heartbeat, (0, 0))
        yield


def _heartbeat(shop: Shop) -> "_Heartbeat":
    path = shop.settings().processor_heartbeat
    path.parent.mkdir(exist_ok=True)
    return _Heartbeat(path)


class _Heartbeat:
    """That of a processor that is not this one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        heartbeat.begin(path, 60)
        heartbeat.beat()

    def close(self) -> None:
        if time.time() - self._path.stat().st_mtime < 60:
            heartbeat.end()
        heartbeat.begin(None, 1)


@contextmanager
def warehouse_broken(shop: Shop) -> Iterator[None]:
    loaded(shop)
    file = shop.settings().duckdb_path
    shutil.copy(file, shop.folder / "backup")
    file.write_bytes(b"no database" * 1000)
    yield
    shutil.copy(shop.folder / "backup", file)


@contextmanager
def privilege_lacks(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("revoke select on orders from adventure_reader")
    yield
    shop.execute("grant select on orders to adventure_reader")


@contextmanager
def another_stage(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.environment["DATA_DIR"] = "second"
    yield


@contextmanager
def transaction_open(shop: Shop) -> Iterator[None]:
    with another(shop, ALERT_LAG_SEC="0.5"), psycopg.connect(shop.server) as session:
        session.execute("select now()")
        time.sleep(0.8)
        yield


@contextmanager
def rows_wait(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("insert into orders values (3, 30)")
    with another(shop, ALERT_LAG_SEC="0.5"):
        time.sleep(0.8)
        yield


@contextmanager
def statistics_hidden(shop: Shop) -> Iterator[None]:
    shop.execute("revoke pg_read_all_stats from adventure_reader")
    try:
        loaded(shop)
        yield
    finally:
        shop.execute("grant pg_read_all_stats to adventure_reader")
    shop.execute("insert into orders values (3, 30)")
    shop.prepare("adventure process", "adventure load")


@contextmanager
def file_damaged(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure process")
    (file,) = shop.settings().stage_dir.rglob("window.json")
    file.write_text("{")
    yield


@contextmanager
def window_lost(shop: Shop) -> Iterator[None]:
    loaded(shop)
    shop.execute("insert into orders values (3, 30)")
    shop.prepare("adventure process")
    shutil.copy(shop.settings().duckdb_path, shop.folder / "older")
    loaded(shop)
    shutil.copy(shop.folder / "older", shop.settings().duckdb_path)
    yield
    shop.prepare("adventure process", "adventure load")


@contextmanager
def windows_wait(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure process")
    with another(shop, ALERT_WAITING_SEC="0.001"):
        yield


@contextmanager
def tasks_overdue(shop: Shop) -> Iterator[None]:
    shop.prepare("adventure process", "adventure tasks run")
    with another(shop, TASKS_INTERVAL_SEC="1"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "utc_now", lambda: utc_now() - timedelta(days=1))
            settings = shop.settings()
            DuckDBWarehouse(settings).publish_report(load_streams(settings), interval=1)
        yield


@contextmanager
def build_fails(shop: Shop) -> Iterator[None]:
    loaded(shop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DuckDBWarehouse, "build", lambda *_, **__: 1 / 0)
        shop.run("adventure tasks run build", 1)
    shop.ran.clear()
    yield


@contextmanager
def row_lost(shop: Shop) -> Iterator[None]:
    loaded(shop)
    DuckDBWarehouse(shop.settings()).execute("delete from raw_ext.orders_raw where id = 1")
    shop.run("adventure tasks run reconcile", 1)
    shop.ran.clear()
    yield


@contextmanager
def value_rejected(shop: Shop) -> Iterator[None]:
    shop.execute("update orders set amount = 'NaN' where id = 1")
    loaded(shop)
    yield
    shop.execute("update orders set amount = 11 where id = 1")


CASES: dict[str, Callable[[Shop], AbstractContextManager[None]]] = {
    "processor_stopped": processor_stopped,
    "processor_stuck": processor_stuck,
    "source_unavailable": server_away,
    "watermarks_unavailable": state_away,
    "warehouse_unavailable": warehouse_broken,
    "stream_refused": privilege_lacks,
    "watermark_mismatch": another_stage,
    "horizon_stalled": transaction_open,
    "rows_unread": rows_wait,
    "read_by_lookback": statistics_hidden,
    "window_damaged": file_damaged,
    "window_lost": window_lost,
    "windows_waiting": windows_wait,
    "tasks_overdue": tasks_overdue,
    "task_failed": build_fails,
    "reconcile_failed": row_lost,
    "rows_rejected": value_rejected,
}
ELSEWHERE = {
    "data_stale": "it needs a whole dbt project",
    "log_kept": "it needs a gigabyte of log; tests/processor/test_log.py runs its commands",
    "processor_failing": "the processor tries again by itself; tests/processor/test_broken_connections.py breaks it",
    "stream_empty": "only where the sources cannot be seen, in the app in Snowflake",
    "test_failed": "it needs a whole dbt project",
    "test_warned": "it needs a whole dbt project",
}
"""Problems that are not caused here, and why."""
GUIDE = dict(HEADINGS)
ENDED_BY_A_SERVICE = {"processor_stopped", "processor_stuck", "tasks_overdue"}
REPORTED_FOR_A_DAY = {"rows_rejected"}
DIAGNOSES = {
    "adventure doctor",
    "adventure process --plan",
    "adventure rejects orders",
    "adventure status",
    "adventure tasks list",
}
"""They show what is wrong, by their exit code too: people run them before they do something."""


def commands(kind: str, problem: Problem) -> list[str]:
    """Return the guide's commands for this problem, with the values that its own sentence names."""
    found = re.findall(r"`(adventure [^`]+)`", GUIDE[kind])
    window = re.search(r"stage remove orders (\S+)`", problem.remedy)
    since = re.search(r"--from (\S+)`", problem.remedy)
    values = {"NAME": "orders", "WINDOW": window and window[1], "2026-01-31T12:00:00": since and since[1]}
    for placeholder, value in values.items():
        found = [command.replace(placeholder, value or placeholder) for command in found]
    return found


def test_every_problem_is_caused_or_left_out_with_a_reason() -> None:
    assert {*CASES, *ELSEWHERE} == set(KINDS)
    assert not CASES.keys() & ELSEWHERE.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_the_guides_commands_end_the_problem(shop: Shop, kind: str) -> None:
    with CASES[kind](shop):
        problem = shop.problem(kind)
        assert problem, shop.problems()
        steps = commands(kind, problem)
        for command in steps:
            if command in DIAGNOSES:
                shop.run(command, 0, 1)
    for command in steps:
        if command in SERVICES and kind in ENDED_BY_A_SERVICE:
            with shop.service(command):
                until(lambda: shop.problem(kind) is None)
        elif command not in DIAGNOSES:
            shop.run(command)
    assert kind in REPORTED_FOR_A_DAY | ENDED_BY_A_SERVICE or shop.problem(kind) is None, (shop.ran, shop.problems())
    shop.prepare("adventure process", "adventure load")
    with psycopg.connect(shop.server) as connection:
        expected = connection.execute("select id, amount from orders order by id").fetchall()
    found = DuckDBWarehouse(shop.settings()).execute("select id, amount from raw_ext.orders_latest order by id")
    assert found == expected
