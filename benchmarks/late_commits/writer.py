"""A session that writes orders with their lines and keeps its transactions open for a while."""

import math
import random
import time
from typing import Any

import psycopg

from benchmarks.late_commits.scenarios import Clock, Load


class Writer:
    """A session that inserts orders with their lines and updates those it wrote before."""

    LINES_AN_ORDER = 3

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]", number: int, clock: Clock) -> None:
        self._connection, self._clock = connection, clock
        self._random = random.Random(number)
        self._base, self._orders = number * 1_000_000, 0

    def transaction(self, load: Load, progress: float) -> int:
        """Run a transaction that stays open for a random time, often followed by an update; return the rows written."""
        fresh = max(1, load.rows_a_transaction // (2 * (1 + self.LINES_AN_ORDER)))
        old = self._some_orders(fresh)
        rows = self._insert(fresh, progress)
        time.sleep(math.exp(self._random.uniform(math.log(0.001), math.log(load.longest))))
        rows += self._update(old, progress, with_lines=True)
        if self._random.random() < 0.3:
            rows += self._update(self._newest(fresh), progress, with_lines=False)
        self._connection.commit()
        if self._random.random() < 0.5:
            # The update moves the order to a later window than its lines.
            time.sleep(self._random.uniform(0, 0.2))
            rows += self._update(self._newest(fresh), progress, with_lines=False)
            self._connection.commit()
        return rows

    def _newest(self, count: int) -> list[int]:
        return [self._base + index for index in range(max(0, self._orders - count), self._orders)]

    def _some_orders(self, count: int) -> list[int]:
        chosen = self._random.sample(range(self._orders), min(count, self._orders))
        return [self._base + index for index in chosen]

    def _insert(self, count: int, progress: float) -> int:
        keys = [self._base + index for index in range(self._orders, self._orders + count)]
        self._orders += count
        orders = [{"id": key, "at": self._clock.now(progress)} for key in keys]
        lines = [
            {"id": key * 10 + line, "order": key, "at": self._clock.now(progress)}
            for key in keys
            for line in range(self.LINES_AN_ORDER)
        ]
        with self._connection.cursor() as cursor:
            now = "coalesce(%(at)s, now() at time zone 'utc')"
            cursor.executemany(f"insert into orders (id, changed_at) values (%(id)s, {now})", orders)  # type: ignore[arg-type]
            cursor.executemany(
                f"insert into lines (id, order_id, changed_at) values (%(id)s, %(order)s, {now})",  # type: ignore[arg-type]
                lines,
            )
        return len(orders) + len(lines)

    def _update(self, keys: list[int], progress: float, *, with_lines: bool) -> int:
        change = "set version = version + 1, changed_at = coalesce(%s::timestamp, clock_timestamp() at time zone 'utc')"
        now = self._clock.now(progress)
        rows = self._connection.execute(f"update orders {change} where id = any(%s)", [now, keys]).rowcount  # type: ignore[arg-type]
        if with_lines:
            rows += self._connection.execute(f"update lines {change} where order_id = any(%s)", [now, keys]).rowcount  # type: ignore[arg-type]
        return rows
