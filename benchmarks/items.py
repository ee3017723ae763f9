"""A narrow table whose rows are inserted, updated and deleted, for the benchmarks of PostgreSQL's log."""

import time

import psycopg

from benchmarks.sales_source import Sales

A_TRANSACTION = 1000
"""Changes in a transaction."""
DELETES = 100
"""Rows that are deleted in each round."""
SETTLE = 0.3
"""Seconds after a commit, so that it is below the horizon of a cursor."""

CREATE = """
create table items (
    id bigint primary key, place integer, price numeric(10, 2), name text, is_new boolean,
    changed_at timestamptz not null default clock_timestamp()
);
create index on items (changed_at);
create publication adventure for table items;
"""

INSERT = """
insert into items select n, n %% 97, n / 7.0, 'Item ' || n, true from generate_series(%s::bigint, %s::bigint) as n
"""
_UPDATE = """
update items set price = price + 1, changed_at = clock_timestamp() where id between %s::bigint and %s::bigint
"""


def change(sales: Sales, number: int, changes: int) -> str:
    """Insert and update as many rows, and delete a few; return the time before it.

    Args:
        number: of the round, from 0. Before the first one the table has the rows 1 to `changes`.
    """
    half, first = changes // 2, changes + 1 + number * (changes // 2)
    with psycopg.connect(sales.server.dsn(), autocommit=True) as connection:
        ((since,),) = connection.execute("select clock_timestamp()::text").fetchall()
        for low in range(0, half, A_TRANSACTION // 2):
            last = min(low + A_TRANSACTION // 2, half)
            with connection.transaction():
                connection.execute(INSERT, [first + low, first + last - 1])
                # Rows of the first load, and those that an earlier round has left.
                connection.execute(_UPDATE, [1 + low, last])
        connection.execute(
            "delete from items where id between %s and %s",
            [half + 1 + number * DELETES, half + (number + 1) * DELETES],
        )
        connection.execute("checkpoint")
    time.sleep(SETTLE)
    return str(since)
