"""A writer of a table that is read by the log: changes without a cursor, deletes, truncates, new keys and DDL."""

import time
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from adventure.core.settings import Settings
from tests.chaos.load import OPEN_SEC, Writer

CREATE: LiteralString = "create table stock (item text primary key, quantity integer, price numeric(10, 2))"
PUBLISH: LiteralString = "create publication adventure for table stock with (publish_via_partition_root = true)"

STREAM = """
[streams.stock]
source = "postgres"
namespace = "public"
table = "stock"
mode = "log"
key = "item"
stage = "stock_stage"
raw_table = "raw_ext.stock_raw"
"""

JOBS = {"insert": 10, "update": 10, "delete": 5, "rename": 5, "roll_back": 2, "truncate": 1, "add_column": 1}
JOBS |= {"drop_column": 1, "replica_identity": 1, "publish_again": 1}
"""The jobs and how often each is drawn."""


def create_stock(settings: Settings) -> None:
    """Create the empty table and its publication, as their owner."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(CREATE)
        connection.execute(PUBLISH)


class Keeper(Writer):
    """The only writer of `stock`."""

    def __init__(self, settings: Settings, stop: Any, seed: int, number: int) -> None:
        super().__init__(settings, stop, seed, number)
        self.done = dict.fromkeys(JOBS, 0)
        """How often each job was acknowledged."""
        self._number = 0

    def work(self) -> None:
        with psycopg.connect(self.settings.postgres_dsn, connect_timeout=5, autocommit=True) as connection:
            while not self.ended.is_set():
                (job,) = self.rng.choices(list(JOBS), list(JOBS.values()))
                getattr(self, f"_job_{job}")(connection)
                self.done[job] += 1
                self.writes += 1
                self.ended.wait(self.rng.uniform(0, 0.2))

    def held(self) -> dict[str, Any]:
        with psycopg.connect(self.settings.postgres_dsn) as connection:
            return dict(connection.execute("select item, quantity from stock").fetchall())

    def settle(self) -> None:
        """Insert a last row: a new column reaches the warehouse with the next row of its table."""
        with psycopg.connect(self.settings.postgres_dsn, autocommit=True) as connection:
            self._job_insert(connection)

    def _job_insert(self, connection: psycopg.Connection[Any]) -> None:
        keys = [self._new_key() for _ in range(self.rng.choice((1, 3, 200)))]
        with connection.transaction():
            connection.execute(
                "insert into stock (item, quantity, price)"
                " select item, 0, length(item) / 7.0 from unnest(%s::text[]) as item",
                [keys],
            )
            time.sleep(self.rng.choice(OPEN_SEC))
        self.acknowledged |= dict.fromkeys(keys, 0)

    def _job_update(self, connection: psycopg.Connection[Any]) -> None:
        before = self._take(20)
        connection.execute("update stock set quantity = quantity + 1 where item = any(%s)", [list(before)])
        self.acknowledged |= {key: quantity + 1 for key, quantity in before.items()}

    def _job_delete(self, connection: psycopg.Connection[Any]) -> None:
        before = self._take(10)
        connection.execute("delete from stock where item = any(%s)", [list(before)])
        self.acknowledged |= dict.fromkeys(before)

    def _job_rename(self, connection: psycopg.Connection[Any]) -> None:
        """Change keys, some of them to that of a row that was deleted in the same transaction."""
        before = self._take(6)
        kept, freed = list(before)[::2], list(before)[1::2]
        new = {key: freed[place] if place < len(freed) else self._new_key() for place, key in enumerate(kept)}
        with connection.transaction():
            connection.execute("delete from stock where item = any(%s)", [freed])
            for old, key in new.items():
                connection.execute("update stock set item = %s where item = %s", [key, old])
        self.acknowledged |= dict.fromkeys(before) | {key: before[old] for old, key in new.items()}

    def _job_roll_back(self, connection: psycopg.Connection[Any]) -> None:
        """Change everything in a subtransaction that is rolled back, beside one change that stays."""
        key = self._new_key()
        with connection.transaction():
            with connection.transaction(force_rollback=True):
                connection.execute("update stock set quantity = -1")
                connection.execute("delete from stock where quantity < 0")
            connection.execute("insert into stock (item, quantity) values (%s, 0)", [key])
        self.acknowledged[key] = 0

    def _job_truncate(self, connection: psycopg.Connection[Any]) -> None:
        before, key = self._take(len(self.acknowledged)), self._new_key()
        with connection.transaction():
            connection.execute("truncate stock")
            connection.execute("insert into stock (item, quantity) values (%s, 0)", [key])
        self.acknowledged |= dict.fromkeys(before) | {key: 0}

    def _job_add_column(self, connection: psycopg.Connection[Any]) -> None:
        self._number += 1
        name = sql.Identifier(f"note_{self._number}")
        connection.execute(sql.SQL("alter table stock add column if not exists {} text").format(name))
        key = self._new_key()
        connection.execute(sql.SQL("insert into stock (item, quantity, {}) values (%s, 0, 'new')").format(name), [key])
        self.acknowledged[key] = 0

    def _job_drop_column(self, connection: psycopg.Connection[Any]) -> None:
        """Drop the oldest of the added columns. A name is never used again."""
        names = "select attname from pg_attribute where attrelid = 'stock'::regclass and attname like 'note%' limit 1"
        for (name,) in connection.execute(names).fetchall():
            connection.execute(sql.SQL("alter table stock drop column {}").format(sql.Identifier(name)))

    def _job_replica_identity(self, connection: psycopg.Connection[Any]) -> None:
        identity = sql.SQL(self.rng.choice(("full", "default")))
        connection.execute(sql.SQL("alter table stock replica identity {}").format(identity))

    def _job_publish_again(self, connection: psycopg.Connection[Any]) -> None:
        with connection.transaction():
            connection.execute("drop publication adventure")
            connection.execute(PUBLISH)

    def _take(self, most: int) -> dict[str, int]:
        """Return rows with their quantities, and forget them: while a change is under way, either version is right."""
        there = sorted(key for key, quantity in self.acknowledged.items() if quantity is not None)
        return {key: self.acknowledged.pop(key) for key in self.rng.sample(there, min(len(there), most))}

    def _new_key(self) -> str:
        return f"item {self.rng.randrange(10**12)}"
