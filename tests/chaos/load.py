"""The load: writers of sales in PostgreSQL and of chats in MongoDB, which continue through kills of the servers.

Each writer changes only its own rows and records what the server acknowledged. This distinguishes data lost by a server
from data lost by the pipeline. If a connection broke during a commit, either outcome is right; such rows are ignored.
"""

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pymongo
from psycopg import sql
from pymongo.errors import PyMongoError

from adventure.core.settings import Settings
from adventure.demo.generator.chats import advance_chat, open_chat
from adventure.demo.generator.orders import LINE_COLUMNS, ORDER_COLUMNS, OrderMaker, Sale
from adventure.demo.generator.plan import recent

OPEN_SEC = (0.0, 0.005, 0.05, 0.3, 2.0)
"""Seconds for which a transaction stays open after it has taken its timestamps."""

LATE_SEC = (0.0, 0.0, 0.2, 2.0, 10.0)
"""Seconds by which a document's cursor is behind the clock when it arrives; the stream's lookback is longer."""


class Writer(threading.Thread):
    """A writer that reconnects whenever its connection breaks, until `stop` is set."""

    def __init__(self, settings: Settings, stop: threading.Event, seed: int, number: int) -> None:
        super().__init__(daemon=True)
        self.settings, self.ended = settings, stop
        self.rng = random.Random(f"{seed}:{type(self).__name__}:{number}")
        self.maker = OrderMaker(self.rng.randrange(10**9), 10**9 * (number + 1), datetime.now(UTC).date())
        self.acknowledged: dict[str, Any] = {}
        """The last acknowledged version of each row, by key; None for a deleted row."""
        self.writes = self.broken = 0
        self.error: Exception | None = None
        """Errors that the kill of a server does not explain."""

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.work()
            except (psycopg.OperationalError, PyMongoError):
                self.broken += 1
                self.ended.wait(0.2)
            except Exception as error:  # noqa: BLE001 - reported at the end, where it fails the run
                self.error = error
                return

    def work(self) -> None:
        """Write on one connection until it breaks or `ended` is set."""
        raise NotImplementedError

    def held(self) -> dict[str, Any]:
        """Return the versions in the server, by key."""
        raise NotImplementedError

    def lost(self) -> list[str]:
        """Return acknowledged versions that the server has lost."""
        held = self.held()
        return [key for key, version in self.acknowledged.items() if held.get(key) != version]

    def _sales(self, now: datetime) -> list[Sale]:
        return [self.maker.make(recent(self.rng, now), now) for _ in range(self.rng.randint(1, 12))]


class Seller(Writer):
    """Write orders with their lines and updates of earlier orders, in transactions that commit late."""

    def work(self) -> None:
        with psycopg.connect(self.settings.postgres_dsn, connect_timeout=5, autocommit=True) as connection:
            while not self.ended.is_set():
                self._sell(connection)
                self.ended.wait(self.rng.uniform(0, 0.6))

    def _sell(self, connection: psycopg.Connection[Any]) -> None:
        updated = self.rng.sample(sorted(self.acknowledged), min(len(self.acknowledged), self.rng.randint(0, 4)))
        before = {key: self.acknowledged.pop(key) for key in updated}
        with connection.transaction():
            ((now,),) = connection.execute("select now() at time zone 'utc'").fetchall()
            sales = self._sales(now)
            _copy(connection, "orders", ORDER_COLUMNS, [sale.order for sale in sales])
            _copy(connection, "order_details", LINE_COLUMNS, [line for sale in sales for line in sale.lines])
            connection.execute(
                "update orders set status = 5, revision_number = revision_number + 1, last_modified = %s"
                " where sales_order_id = any(%s::uuid[])",
                [now, updated],
            )
            time.sleep(self.rng.choice(OPEN_SEC))
        self.acknowledged |= {key: revision + 1 for key, revision in before.items()}
        self.acknowledged |= {sale.order_id: int(sale.order.split("\t")[1]) for sale in sales}
        self.writes += 1

    def held(self) -> dict[str, Any]:
        with psycopg.connect(self.settings.postgres_dsn) as connection:
            return dict(connection.execute("select sales_order_id::text, revision_number from orders").fetchall())


class Agent(Writer):
    """Open, advance and delete chats. Each version is later than the one before it; some arrive late."""

    def work(self) -> None:
        with self._client() as client:
            chats = client[self.settings.mongo_db][self.settings.mongo_collection]
            while not self.ended.is_set():
                now = datetime.now(UTC).replace(tzinfo=None)
                there = sorted(key for key, version in self.acknowledged.items() if version)
                job = self.rng.choices((self._advance_chat, self._delete_chat), (8, 1))[0]
                if there and self.rng.random() < 0.4:
                    job(chats, self.rng.choice(there), now)
                else:
                    self._open_chat(chats, now)
                self.writes += 1
                self.ended.wait(self.rng.uniform(0, 0.1))

    def _open_chat(self, chats: Any, now: datetime) -> None:
        (sale, *_) = self._sales(now)
        chat = open_chat(self.rng, sale, now - timedelta(seconds=self.rng.choice(LATE_SEC)))
        chat["_id"] = str(chat["_id"])
        chats.insert_one(chat)
        self.acknowledged[chat["_id"]] = chat["last_modified"]

    def _advance_chat(self, chats: Any, key: str, now: datetime) -> None:
        before = self.acknowledged.pop(key)
        chat = chats.find_one({"_id": key})
        if chat is None:
            self.acknowledged[key] = before
            return
        late = now - timedelta(seconds=self.rng.choice(LATE_SEC))
        changes = advance_chat(chat, max(late, before + timedelta(milliseconds=1)))
        chats.update_one({"_id": key}, {"$set": changes})
        self.acknowledged[key] = changes["last_modified"]

    def _delete_chat(self, chats: Any, key: str, _: datetime) -> None:
        del self.acknowledged[key]
        chats.delete_one({"_id": key})
        self.acknowledged[key] = None

    def held(self) -> dict[str, Any]:
        with self._client() as client:
            chats = client[self.settings.mongo_db][self.settings.mongo_collection]
            return {chat["_id"]: chat["last_modified"] for chat in chats.find({}, {"last_modified": 1})}

    def _client(self) -> "pymongo.MongoClient[dict[str, Any]]":
        return pymongo.MongoClient(self.settings.mongo_conninfo, serverSelectionTimeoutMS=5000)


def _copy(connection: psycopg.Connection[Any], table: str, columns: tuple[str, ...], rows: list[str]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write("".join(f"{row}\n" for row in rows))
