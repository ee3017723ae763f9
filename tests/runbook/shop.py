"""A pipeline of one table, used from the command line, whose problems the guide for the night shall end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.factory import open_report
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.published import report_of_rows
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.health.state import State
from adventure.monitoring.live import read_state
from tests.program import Ended, run_program

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
    sees_sources: bool = True
    """False in the app in Snowflake, which sees what the tasks published."""

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
        if not self.sees_sources:
            return find_problems(State(utc_now(), report_of_rows(open_report(settings).rows)))
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
