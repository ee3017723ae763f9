"""Write sales: a backfill of the last weeks, and live batches at an interval."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from pymongo import UpdateOne

from adventure.core import heartbeat
from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.errors import SourceUnavailable
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.demo.generator import dates
from adventure.demo.generator.chats import CLOSED, advance_chat, open_chat
from adventure.demo.generator.orders import IN_PROCESS, LINE_COLUMNS, ORDER_COLUMNS, SHIPPED, OrderMaker, Sale
from adventure.demo.generator.schema import create_tables
from adventure.sources.mongo.connect import connect_mongo, translating_mongo

if TYPE_CHECKING:
    import random

    import pymongo

FIRST_ORDER_NUMBER = 75_124
"""The history ends with order SO75123."""

_RETRY_SEC = 5.0
"""Pause between two attempts to reach a database; each attempt has retries of its own."""

_BACKFILL_CHUNK = 1_000
"""Orders per transaction of a backfill."""

_UPDATED_SHARE = 0.05
"""Earlier orders set to shipped with each batch, as a share of its size; at least one."""

_NUMBER_OF_LAST_ORDER = """
select max(substr(sales_order_number, 3)::bigint) from orders where sales_order_number ~ '^SO[0-9]{1,15}$'
"""

_SHIP_EARLIER_ORDERS = """
update orders set status = %(shipped)s, revision_number = revision_number + 1, last_modified = %(now)s
where sales_order_id in (
    select sales_order_id from orders where status = %(in_process)s
    order by last_modified, sales_order_id limit %(count)s for update skip locked
)
"""

log = get_logger()


@dataclass(frozen=True)
class Totals:
    """Numbers of rows and documents written."""

    orders: int = 0
    lines: int = 0
    chats: int = 0
    updated_orders: int = 0
    updated_chats: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.orders + other.orders,
            self.lines + other.lines,
            self.chats + other.chats,
            self.updated_orders + other.updated_orders,
            self.updated_chats + other.updated_chats,
        )


@dataclass
class _Shop:
    """The open connections and the order maker of one run."""

    postgres: psycopg.Connection[tuple[Any, ...]]
    chats: "pymongo.collection.Collection[dict[str, Any]]"
    maker: OrderMaker

    def sell(self, count: int, order_date: "Callable[[random.Random, datetime], datetime]", update: bool) -> Totals:
        """Write `count` orders with their lines in one transaction, then the chats about them."""
        with self.postgres.transaction():
            now = _server_time(self.postgres)
            stamp = now.isoformat(" ")
            sales = [self.maker.make(order_date(self.maker.rng, now), stamp) for _ in range(count)]
            updated = _ship_earlier_orders(self.postgres, now, max(1, int(count * _UPDATED_SHARE))) if update else 0
            _copy(self.postgres, "orders", ORDER_COLUMNS, (sale.order for sale in sales))
            _copy(self.postgres, "order_details", LINE_COLUMNS, (line for sale in sales for line in sale.lines))
        updated_chats = self._work_on_chats(max(1, count // 50)) if update else 0
        chats = self._open_chats(sales, worked_on=not update)
        return Totals(count, sum(len(sale.lines) for sale in sales), chats, updated, updated_chats)

    def _open_chats(self, sales: list[Sale], *, worked_on: bool) -> int:
        """Insert new chats; with `worked_on`, most of them already have an answer."""
        now, rng = _utc_now(), self.maker.rng
        chats = [open_chat(rng, sale, now) for sale in sales if sale.has_chat]
        for chat in chats if worked_on else ():
            if rng.random() < 0.8:
                chat.update(advance_chat(rng, chat, now))
        if chats:
            self.chats.insert_many(chats, ordered=False)
        return len(chats)

    def _work_on_chats(self, count: int) -> int:
        found = list(self.chats.find({"ticket_status": "Open"}).limit(count))
        # MongoDB reads a limit of 0 as no limit.
        if len(found) < count:
            found += list(self.chats.find({"ticket_status": "Pending"}).limit(count - len(found)))
        changes = [
            UpdateOne(
                {"_id": chat["_id"], "ticket_status": {"$ne": CLOSED}},
                {"$set": advance_chat(self.maker.rng, chat, _utc_now())},
            )
            for chat in found
        ]
        return self.chats.bulk_write(changes).modified_count if changes else 0


def generate(
    settings: Settings, *, seed: int | None = None, batches: int | None = None, stop: threading.Event | None = None
) -> Totals:
    """Write `order_batch_size` orders every `generation_interval_sec`; create missing tables first.

    The same seed on tables with the same last order number gives the same orders; only the times differ.

    Args:
        batches: stop after this many; by default after `generation_max_runtime_sec`, or never.
        stop: set it to stop after the current batch. With it, an unavailable database is retried.

    Raises:
        SourceError: a database refuses the connection or, without `stop`, is unavailable.
    """
    begun, done, totals = time.monotonic(), 0, Totals()
    with closing(_batches(settings, seed, stop)) as selling:
        for batch in selling:
            totals, done = totals + batch, done + 1
            log.info(
                f"generator: {batch.orders} orders, {batch.lines} lines, {batch.chats} chats,"
                f" {batch.updated_orders} orders and {batch.updated_chats} chats updated",
                orders=batch.orders,
                lines=batch.lines,
                chats=batch.chats,
            )
            runtime = time.monotonic() - begun
            if batches is not None and done >= batches:
                break
            if settings.generation_max_runtime_sec and runtime >= settings.generation_max_runtime_sec:
                break
            heartbeat.beat(quiet_for=settings.generation_interval_sec)
            (stop or threading.Event()).wait(settings.generation_interval_sec)
    return totals


def _batches(settings: Settings, seed: int | None, stop: threading.Event | None) -> Generator[Totals, None, None]:
    """Write one batch per iteration until `stop` is set."""
    while not (stop and stop.is_set()):
        try:
            heartbeat.beat()
            create_tables(settings)
            with _open_shop(settings, seed) as shop:
                while not (stop and stop.is_set()):
                    yield shop.sell(settings.order_batch_size, dates.recent, update=True)
        except SourceUnavailable as error:
            if stop is None:
                raise
            log.error(f"generator: {error} Retrying in {_RETRY_SEC:g} s.")
            heartbeat.beat(quiet_for=_RETRY_SEC)
            stop.wait(_RETRY_SEC)


def backfill(settings: Settings, *, orders: int, days: int, seed: int | None = None) -> Totals:
    """Write `orders` orders with dates within the last `days` days.

    Raises:
        SourceError: a database is unavailable or refuses the connection.
    """
    totals, logged_at = Totals(), time.monotonic()
    with _open_shop(settings, seed) as shop:
        while totals.orders < orders:
            count = min(_BACKFILL_CHUNK, orders - totals.orders)
            totals += shop.sell(count, lambda rng, now: dates.spread(rng, now, days), update=False)
            if time.monotonic() - logged_at > 2:
                log.info(f"generator: {totals.orders:,} of {orders:,} orders", orders=totals.orders)
                logged_at = time.monotonic()
    log.info(
        f"generator: backfilled {totals.orders:,} orders, {totals.lines:,} lines, {totals.chats:,} chats"
        f" dated over {days} days",
        orders=totals.orders,
    )
    return totals


@contextmanager
def _open_shop(settings: Settings, seed: int | None) -> Iterator[_Shop]:
    conninfo, uri = settings.postgres_dsn, settings.mongo_conninfo
    sales, chats = "the sales database", "the chats database"
    with (
        connect_postgres(conninfo, name=sales, autocommit=True) as connection,
        connect_mongo(uri, name=chats) as client,
        translating_postgres(conninfo, sales),
        translating_mongo(uri, chats),
    ):
        found = connection.execute(_NUMBER_OF_LAST_ORDER).fetchone()
        number = (found[0] if found and found[0] else FIRST_ORDER_NUMBER - 1) + 1
        maker = OrderMaker(seed, number, _utc_now().date())
        yield _Shop(connection, client[settings.mongo_db][settings.mongo_collection], maker)


def _server_time(connection: psycopg.Connection[tuple[Any, ...]]) -> datetime:
    """Return the start of the transaction by the server's clock, the right source of a cursor's value."""
    row = connection.execute("select now() at time zone 'utc'").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _ship_earlier_orders(connection: psycopg.Connection[tuple[Any, ...]], now: datetime, count: int) -> int:
    values = {"shipped": SHIPPED, "in_process": IN_PROCESS, "now": now, "count": count}
    return connection.execute(_SHIP_EARLIER_ORDERS, values).rowcount


def _copy(
    connection: psycopg.Connection[tuple[Any, ...]], table: str, columns: tuple[str, ...], rows: Iterator[str]
) -> None:
    # No escaping is needed: names are this package's constants, and rows hold no character that COPY escapes.
    statement = f"copy {table} ({', '.join(columns)}) from stdin"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write("".join(f"{row}\n" for row in rows))


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
