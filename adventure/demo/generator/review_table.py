"""Write reviews into the table that the shop's API serves: new ones, votes, edits and deletions."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from adventure.demo.generator.reviews import DELETED, PUBLISHED, REVIEW_COLUMNS, Bought, Review, ReviewMaker

Connection = psycopg.Connection[tuple[Any, ...]]

_NEW, _VOTED, _EDITED, _REMOVED = 0.1, 0.1, 0.02, 0.005
"""Reviews that are written, voted for, edited and deleted in a live batch, as a share of its orders."""
_WITHOUT_PURCHASE = 0.08

# A random place in the key's index, and no further than the limit: the cost does not grow with the table.
_BOUGHT = """
select distinct on (o.sales_order_id) o.sales_order_id::text as order_id, d.product_id, o.customer_id, o.order_date
from (select * from orders where sales_order_id >= %(begin)s order by sales_order_id limit %(limit)s) as o
join order_details as d using (sales_order_id)
where o.online_order_flag = 1 and o.status = 5 and o.ship_date <= %(now)s
    and not exists (
        select from reviews_api.reviews as r
        where r.sales_order_id = o.sales_order_id and r.product_id = d.product_id
    )
order by o.sales_order_id, d.product_id
limit %(count)s
"""
_REVIEWS = f"""
select review_id::text, product_id, customer_id, sales_order_id::text, {", ".join(REVIEW_COLUMNS[4:])}
from (
    select * from reviews_api.reviews where review_id >= %(begin)s order by review_id limit %(limit)s
) as r
where status = '{PUBLISHED}'
limit %(count)s
"""
_UPDATE = f"""
update reviews_api.reviews set {", ".join(f"{name} = %({name})s" for name in REVIEW_COLUMNS[1:])}
where review_id = %(review_id)s
"""
_LOOKED_AT = 10
"""Rows that are looked at for each one that is needed."""


def insert_reviews(connection: Connection, reviews: Sequence[Review]) -> int:
    """Insert the reviews and return their number."""
    if reviews:
        statement = f"copy reviews_api.reviews ({', '.join(REVIEW_COLUMNS)}) from stdin"
        with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for review in reviews:
                copy.write_row(tuple(vars(review).values()))
    return len(reviews)


def review_earlier_orders(connection: Connection, maker: ReviewMaker, orders: int, now: datetime) -> int:
    """Insert reviews of orders that were shipped before, and some by authors who did not buy; return their number."""
    count = _count(maker.rng, orders * _NEW)
    if not count:
        return 0
    with connection.cursor(row_factory=class_row(Bought)) as cursor:
        found = cursor.execute(_BOUGHT, _place(maker.rng, count) | {"now": now}).fetchall()
    made = [maker.write(bought, now, now) for bought in found]
    strangers = _count(maker.rng, count * _WITHOUT_PURCHASE)
    return insert_reviews(connection, made + [maker.write_without_purchase(now, now) for _ in range(strangers)])


def change_reviews(connection: Connection, maker: ReviewMaker, orders: int, now: datetime) -> int:
    """Vote for some reviews, edit some and delete some; return the number of changed reviews."""
    changed: dict[str, Review] = {}
    for share, change in ((_VOTED, maker.voted), (_EDITED, maker.edited), (_REMOVED, maker.deleted)):
        if count := _count(maker.rng, orders * share):
            for review in _reviews(connection, maker.rng, count):
                before = changed.get(review.review_id, review)
                changed[review.review_id] = before if before.status == DELETED else change(before, now)
    with connection.cursor() as cursor:
        cursor.executemany(_UPDATE, [vars(review) for review in changed.values()])
    return len(changed)


def _reviews(connection: Connection, rng: random.Random, count: int) -> list[Review]:
    with connection.cursor(row_factory=class_row(Review)) as cursor:
        return cursor.execute(_REVIEWS, _place(rng, count)).fetchall()


def _place(rng: random.Random, count: int) -> dict[str, Any]:
    """Return a random place in the key's index, and how many rows to read from there."""
    return {"begin": UUID(int=rng.getrandbits(128)), "limit": _LOOKED_AT * count, "count": count}


def _count(rng: random.Random, expected: float) -> int:
    """Return a whole number that is `expected` on average."""
    return int(expected + rng.random())
