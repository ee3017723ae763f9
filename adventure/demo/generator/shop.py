"""Write the sales of one batch and the reviews into PostgreSQL, and the chats about the sales into MongoDB."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from pymongo import UpdateOne

from adventure.core.clock import utc_now
from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.settings import Settings
from adventure.demo.generator.chats import advance_chat, advance_to, open_chat
from adventure.demo.generator.dialogues import CLOSED, CUSTOMER_TO_ANSWER, OPEN, PENDING
from adventure.demo.generator.orders import IN_PROCESS, LINE_COLUMNS, ORDER_COLUMNS, SHIPPED, OrderMaker, Sale
from adventure.demo.generator.plan import OUTAGE_TERRITORY, USUAL_ORDERS_A_DAY, Plan
from adventure.demo.generator.review_table import change_reviews, insert_reviews, review_earlier_orders
from adventure.demo.generator.reviews import ReviewMaker
from adventure.sources.mongo.connect import connect_mongo, translating_mongo

if TYPE_CHECKING:
    import pymongo

Connection = psycopg.Connection[tuple[Any, ...]]

FIRST_ORDER_NUMBER = 75_124
"""The history ends with order SO75123."""

_FIRST_WEEK = 7
"""The first whole days of the sales tell how much the shop sells."""

_BUYS_AGAIN_WITHIN, _COULD_NOT_PAY = timedelta(days=10), 0.05
"""Share of the Australian customers of the last days who write that they cannot pay."""

_NUMBER_OF_LAST_ORDER = """
select max(substr(sales_order_number, 3)::bigint) from orders where sales_order_number ~ '^SO[0-9]{1,15}$'
"""

_SHIP_EARLIER_ORDERS = """
update orders set
    status = %(shipped)s,
    revision_number = revision_number + 1,
    ship_date = least(ship_date, %(now)s),
    last_modified = %(now)s
where sales_order_id in (
    select sales_order_id from orders where status = %(in_process)s
    order by order_date, sales_order_id
    limit greatest(
        %(at_least)s, (select count(*) from orders where status = %(in_process)s and ship_date <= %(now)s)
    )
    for update skip locked
)
"""
"""Ship the oldest orders: all whose ship date has come, and at least a number of them."""


@dataclass(frozen=True)
class Totals:
    """Numbers of rows and documents written."""

    orders: int = 0
    lines: int = 0
    chats: int = 0
    updated_orders: int = 0
    updated_chats: int = 0
    reviews: int = 0
    updated_reviews: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.orders + other.orders,
            self.lines + other.lines,
            self.chats + other.chats,
            self.updated_orders + other.updated_orders,
            self.updated_chats + other.updated_chats,
            self.reviews + other.reviews,
            self.updated_reviews + other.updated_reviews,
        )


@dataclass
class Shop:
    """The open connections of one run, and what makes its orders and reviews."""

    postgres: Connection
    chats: "pymongo.collection.Collection[dict[str, Any]]"
    maker: OrderMaker
    reviews: ReviewMaker

    def sell(
        self, order_dates: Callable[[datetime], list[datetime]], *, ship: float | None = None, answer: int | None = None
    ) -> Totals:
        """Write one order for each date with its lines and the reviews, in one transaction, and the chats about them.

        In a live batch customers review earlier orders, and some reviews change.

        Args:
            order_dates: returns the dates in order, given the server's time.
            ship: ship at least this share of the number of orders, the oldest first; by default earlier orders stay.
            answer: the number of chats to work on; by default the new chats have been worked on already.
        """
        with self.postgres.transaction():
            now = server_time(self.postgres)
            sales = [self.maker.make(order_date, now) for order_date in order_dates(now)]
            shipped = 0 if ship is None else _ship_earlier_orders(self.postgres, now, round(ship * len(sales)))
            _copy(self.postgres, "orders", ORDER_COLUMNS, (sale.order for sale in sales))
            _copy(self.postgres, "order_details", LINE_COLUMNS, (line for sale in sales for line in sale.lines))
            reviewed = self._review(sales, now, are_earlier=ship is None)
            changed = 0 if ship is None else change_reviews(self.postgres, self.reviews, len(sales), now)
        answered = self._work_on_chats(answer) if answer else 0
        chats = self._open_chats(sales, worked_on=answer is None)
        lines = sum(len(sale.lines) for sale in sales)
        return Totals(len(sales), lines, chats, shipped, answered, reviewed, changed)

    def _review(self, sales: list[Sale], now: datetime, *, are_earlier: bool) -> int:
        """Insert the reviews of these sales, if they are earlier ones, else of orders that were shipped before."""
        if are_earlier:
            return insert_reviews(self.postgres, self.reviews.review_sales(sales, now))
        return review_earlier_orders(self.postgres, self.reviews, len(sales), now)

    def _open_chats(self, sales: list[Sale], *, worked_on: bool) -> int:
        """Insert new chats; with `worked_on`, with all messages whose time has come."""
        now, rng, outage = utc_now(), self.maker.rng, self.maker.plan.outage()
        chats = []
        for sale in sales:
            could_not_pay = outage is not None and self._could_not_pay(sale, outage[0])
            if sale.has_chat or could_not_pay:
                chat = open_chat(rng, sale, now, outage if could_not_pay else None)
                if worked_on:
                    advance_to(rng, chat, now, outage=could_not_pay)
                chats.append(chat)
        if chats:
            self.chats.insert_many(chats, ordered=False)
        return len(chats)

    def _could_not_pay(self, sale: Sale, outage_began: datetime) -> bool:
        """Return whether a recent customer wants to buy again during the outage, and writes about it."""
        return (
            sale.territory_id == OUTAGE_TERRITORY
            and sale.is_online
            and outage_began - _BUYS_AGAIN_WITHIN < sale.order_date < outage_began
            and self.maker.rng.random() < _COULD_NOT_PAY
        )

    def _work_on_chats(self, count: int) -> int:
        found = list(self.chats.find({"ticket_status": OPEN}).limit(count))
        # MongoDB reads a limit of 0 as no limit.
        if len(found) < count:
            begun = {"ticket_status": {"$in": [PENDING, CUSTOMER_TO_ANSWER]}}
            found += list(self.chats.find(begun).limit(count - len(found)))
        changes = [
            UpdateOne(
                {"_id": chat["_id"], "ticket_status": {"$ne": CLOSED}},
                {"$set": advance_chat(chat, utc_now())},
            )
            for chat in found
        ]
        return self.chats.bulk_write(changes).modified_count if changes else 0


@contextmanager
def open_shop(settings: Settings, seed: int | None, plan: Plan | None = None) -> Iterator[Shop]:
    """Open the shop, which goes on after the last order's number.

    Raises:
        SourceError: a database is unavailable or refuses the connection.
    """
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
        maker = OrderMaker(seed, number, utc_now().date(), plan)
        reviews = ReviewMaker(seed, number, maker.plan)
        yield Shop(connection, client[settings.mongo_db][settings.mongo_collection], maker, reviews)


def usual_plan(connection: Connection, now: datetime) -> Plan:
    """Return a plan that goes on as the first week of the sales began, or the default plan of a shop without one."""
    ((first,),) = connection.execute("select min(order_date) from orders").fetchall()
    if first is None or first.date() + timedelta(days=_FIRST_WEEK + 1) > now.date():
        return Plan(now.date(), USUAL_ORDERS_A_DAY)
    begin = first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    end = begin + timedelta(days=_FIRST_WEEK)
    plan = Plan(first.date())
    values = {"begin": begin, "end": end}
    ((count,),) = connection.execute(
        "select count(*) from orders where order_date >= %(begin)s and order_date < %(end)s", values
    ).fetchall()
    return Plan(first.date(), (count / plan.expected(begin, end)) or USUAL_ORDERS_A_DAY)


def server_time(connection: Connection) -> datetime:
    """Return the start of the transaction by the server's clock, the right source of a cursor's value."""
    row = connection.execute("select now() at time zone 'utc'").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _ship_earlier_orders(connection: Connection, now: datetime, at_least: int) -> int:
    values = {"shipped": SHIPPED, "in_process": IN_PROCESS, "now": now, "at_least": at_least}
    return connection.execute(_SHIP_EARLIER_ORDERS, values).rowcount


def _copy(connection: Connection, table: str, columns: tuple[str, ...], rows: Iterator[str]) -> None:
    # No escaping is needed: names are this package's constants, and rows hold no character that COPY escapes.
    statement = f"copy {table} ({', '.join(columns)}) from stdin"
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write("".join(f"{row}\n" for row in rows))
