"""The database under stress: writers, final content and readers."""

import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
from pydantic import SecretStr

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.processor.state import State
from benchmarks.late_commits.readers import MaxCursorPoller, Processor
from benchmarks.late_commits.scenarios import Load, Scenario
from benchmarks.late_commits.writer import Writer

Versions = dict[int, int]
"""Key -> version; every write of a row increments it."""


class System(Protocol):
    """Interface of a database under stress."""

    def write(self, scenario: Scenario, load: Load, stop: threading.Event) -> int:
        """Write `load.rows` rows with all writers; return the number of rows written."""

    def truth(self) -> tuple[Versions, Versions]:
        """Return the last version of each order and line, after the writers have ended."""

    def drained_at(self) -> datetime:
        """Return the time up to which windows must have been read so that every row is in one."""

    def processor(self, scenario: Scenario, number: int) -> Processor:
        """Return a processor with its own watermarks and stage."""

    def plain(self) -> MaxCursorPoller:
        """Return the yardstick."""


@dataclass
class PostgresSystem:
    """Orders and lines in the embedded PostgreSQL."""

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
        # Create the watermark table here, since several processors would create it at the same time.
        State(self._reader, []).close()

    def write(self, scenario: Scenario, load: Load, stop: threading.Event) -> int:
        """See `System`."""
        counts, failures = [0] * load.writers, []

        def work(number: int) -> None:
            try:
                with psycopg.connect(self._writer) as connection:
                    writer = Writer(connection, number, scenario.clock)
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
            self._write_past_lookback(scenario)
        return sum(counts)

    def _write_past_lookback(self, scenario: Scenario) -> None:
        """Write one more row, a lookback later: reconcile counts rows within the lookback as in flight."""
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
        """See `System`. Each processor has its own stream names, and so its own locks."""
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

    def plain(self) -> MaxCursorPoller:
        """See `System`."""
        return MaxCursorPoller(self._writer, self.TABLES)
