"""A table read by the log goes on when a standby is promoted: with its synchronised slot, or after a whole read."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.postgres import SERVICE_USER, PostgresServer
from adventure.demo.sandbox.process import free_port
from adventure.processor.state import read_watermarks
from tests.processor.test_log import CREATE, FILMS, PUBLISH, change, check_films, cycle, log_of, wait_for

pytestmark = pytest.mark.slow

PASSWORD = "standby"


@dataclass
class Pair:
    """A server and its standby, in one folder that the servers' user can enter."""

    folder: Path

    def __post_init__(self) -> None:
        self.primary, self.standby = (
            PostgresServer(self.folder / name, PASSWORD, free_port(None)) for name in ("primary", "standby")
        )

    def begin(self, *, synchronise: bool) -> None:
        """Start the server, copy it, and start the copy as its standby."""
        self.primary.start()
        with psycopg.connect(self.primary.dsn(), autocommit=True) as connection:
            connection.execute("select pg_create_physical_replication_slot('standby')")
            connection.execute(f"create role reader login replication password '{PASSWORD}'")
            connection.execute("alter default privileges grant select on tables to reader")
        self.primary.stop()
        data = self.standby.folder / "data"
        shutil.copytree(self.primary.folder / "data", data)
        source = self.primary.dsn("postgres").replace("'", "''")
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{source}'\nprimary_slot_name = 'standby'\nhot_standby_feedback = on\n")
            settings.write(f"sync_replication_slots = {'on' if synchronise else 'off'}\n")
        (data / "standby.signal").touch()
        if os.geteuid() == 0:
            for path in (data, *data.rglob("*")):
                shutil.chown(path, SERVICE_USER)
        data.chmod(0o700)
        self.primary.start()
        self.standby.start()

    def promote(self) -> None:
        """Wait until the standby has all that was committed, end the primary, and promote the standby."""
        with psycopg.connect(self.primary.dsn(), autocommit=True) as connection:
            (end,) = connection.execute("select pg_current_wal_flush_lsn()").fetchone() or ("",)
        with psycopg.connect(self.standby.dsn(), autocommit=True) as connection:
            arrived = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
            wait_for(lambda: connection.execute(arrived, [end]).fetchone() == (True,))
            self.primary.kill()
            connection.execute("select pg_promote()")

    def has_slot(self) -> bool:
        """Return whether the standby has the pipeline's slot, to keep it when it is promoted."""
        with psycopg.connect(self.standby.dsn(), autocommit=True) as connection:
            query = "select from pg_replication_slots where slot_name like 'adventure%' and synced and not temporary"
            return connection.execute(query).fetchone() is not None


@pytest.fixture
def pair() -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="adventure-standby-", dir="/var/tmp"))
    folder.chmod(0o755)
    made = Pair(folder)
    yield made
    made.standby.stop()
    made.primary.stop()
    shutil.rmtree(folder)


def at(settings: Settings, server: PostgresServer, user: str) -> Settings:
    return settings.model_copy(
        update={
            "postgres_host": server.host,
            "postgres_port": server.port,
            "postgres_db": "postgres",
            "postgres_user": user,
            "postgres_password": SecretStr(PASSWORD),
        }
    )


@pytest.mark.parametrize(
    ("synchronise", "staged"),
    [pytest.param(True, (3, 1), id="synchronised slot"), pytest.param(False, (20, 0), id="lost slot")],
)
def test_what_was_not_staged_before_arrives_from_the_promoted_server(
    settings: Settings, pair: Pair, synchronise: bool, staged: tuple[int, int]
) -> None:
    """Without its slot, the table is read whole once. Only then are keys that are gone found by the load."""
    pair.begin(synchronise=synchronise)
    films: Stream = log_of("films", ("id", "lang"))
    before, after = (at(settings, server, "reader") for server in (pair.primary, pair.standby))
    owner_before, owner_after = (at(settings, server, "postgres") for server in (pair.primary, pair.standby))
    change(owner_before, CREATE, FILMS, PUBLISH)
    assert cycle(before, films) == (20, 0)

    def advance() -> bool:
        """Read a change, so that the slot moves on: the standby takes it over from then on."""
        change(owner_before, "select pg_log_standby_snapshot()", "update films set title = title || '!' where id = 1")
        assert cycle(before, films) == (1, 0)
        return pair.has_slot()

    if synchronise:
        wait_for(advance)
    change(owner_before, "delete from films where id = 20", "update films set title = 'second' where id = 2")
    pair.promote()
    change(owner_after, "insert into films values (21, 'en', 'Third', 3)", "update films set rate = 4 where id = 4")
    assert cycle(after, films) == staged
    check_films(after, owner_after, films)
    change(owner_after, "delete from films where id < 4")
    assert cycle(after, films) == (0, 3)
    check_films(after, owner_after, films)
    assert read_watermarks(after)["films"].mode == "log"
