"""Write sales: a backfill of the last weeks, and live batches at an interval."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import datetime, timedelta

from adventure.core import heartbeat
from adventure.core.errors import SourceUnavailable
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.demo.generator.pace import Pace
from adventure.demo.generator.plan import Plan, recent
from adventure.demo.generator.schema import create_tables
from adventure.demo.generator.shop import Shop, Totals, open_shop, server_time, usual_plan

_RETRY_SEC = 5.0
"""Pause between two attempts to reach a database; each attempt has retries of its own."""

_BACKFILL_CHUNK = 1_000
"""Orders per transaction of a backfill."""

_SHIPPED_SHARE = 0.05
"""Earlier orders shipped with each large batch, as a share of its size; at least one."""

_CHATS_ANSWERED = 0.2
"""Share of the batches with an answered chat, where a batch stands for minutes of the business day."""

log = get_logger()


def generate(
    settings: Settings, *, seed: int | None = None, batches: int | None = None, stop: threading.Event | None = None
) -> Totals:
    """Write a batch of orders every `generation_interval_sec`; create missing tables first.

    A batch has `order_batch_size` orders. With `generation_pace` it has the orders of some minutes of the business day.
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
                reviews=batch.reviews,
                updated_reviews=batch.updated_reviews,
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
            with open_shop(settings, seed) as shop:
                sell = _selling(shop, settings)
                while not (stop and stop.is_set()):
                    yield sell()
        except SourceUnavailable as error:
            if stop is None:
                raise
            log.error(f"generator: {error} Retrying in {_RETRY_SEC:g} s.")
            heartbeat.beat(quiet_for=_RETRY_SEC)
            stop.wait(_RETRY_SEC)


def _selling(shop: Shop, settings: Settings) -> Callable[[], Totals]:
    """Return the function that writes one batch."""
    rng = shop.maker.rng
    if not settings.generation_pace:
        size = settings.order_batch_size
        share, answered = max(_SHIPPED_SHARE, 1 / size), max(1, size // 50)
        return lambda: shop.sell(lambda now: sorted(recent(rng, now) for _ in range(size)), ship=share, answer=answered)
    pace = _open_pace(shop, timedelta(seconds=settings.generation_interval_sec * settings.generation_pace))
    return lambda: shop.sell(lambda now: pace.draw(rng, now), ship=1, answer=int(rng.random() < _CHATS_ANSWERED))


def _open_pace(shop: Shop, stands_for: timedelta) -> Pace:
    """Return the pace of a shop that goes on after its last order."""
    now = server_time(shop.postgres)
    ((last, today),) = shop.postgres.execute(
        "select max(order_date), count(*) filter (where order_date >= %s) from orders",
        [now.replace(hour=0, minute=0, second=0, microsecond=0)],
    ).fetchall()
    return Pace(usual_plan(shop.postgres, now), stands_for, last, today)


def backfill(settings: Settings, *, orders: int, days: int, seed: int | None = None) -> Totals:
    """Write `orders` orders with dates within the last `days` calendar days, today included.

    Raises:
        SourceError: a database is unavailable or refuses the connection.
    """
    totals, logged_at = Totals(), time.monotonic()
    with open_shop(settings, seed) as shop:
        now = server_time(shop.postgres)
        first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
        shop.maker.plan = shop.reviews.plan = Plan(first.date(), today=now.date())
        dates = shop.maker.plan.draw(shop.maker.rng, first, now, orders)
        for begin in range(0, orders, _BACKFILL_CHUNK):
            totals += shop.sell(_given(dates[begin : begin + _BACKFILL_CHUNK]))
            if time.monotonic() - logged_at > 2:
                log.info(f"generator: {totals.orders:,} of {orders:,} orders", orders=totals.orders)
                logged_at = time.monotonic()
    log.info(
        f"generator: backfilled {totals.orders:,} orders, {totals.lines:,} lines, {totals.chats:,} chats,"
        f" {totals.reviews:,} reviews dated over {days} days",
        orders=totals.orders,
    )
    return totals


def _given(dates: list[datetime]) -> Callable[[datetime], list[datetime]]:
    return lambda _now: dates
