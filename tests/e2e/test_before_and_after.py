"""One more batch of sales changes the dashboard's totals by exactly that batch."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import duckdb
import psycopg
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill, generate
from adventure.demo.history import ensure_history
from adventure.factory import open_stage
from adventure.monitoring.checks import run_checks
from adventure.processor.run import process_once
from adventure.tasks.graph import run_task

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Figures:
    """Sales by country and day."""

    cells: dict[tuple[object, ...], tuple[int, int, Decimal]]

    @property
    def orders(self) -> int:
        return sum(orders for orders, _, _ in self.cells.values())

    @property
    def revenue(self) -> Decimal:
        return sum((revenue for _, _, revenue in self.cells.values()), Decimal(0))


TERRITORY_COUNTRY = {
    **dict.fromkeys(range(1, 6), "United States"),
    6: "Canada",
    7: "France",
    8: "Germany",
    9: "Australia",
    10: "United Kingdom",
}


def at_the_source(settings: Settings, since: datetime) -> Figures:
    """Return orders, units and revenue by country, channel and day from PostgreSQL."""
    with psycopg.connect(settings.postgres_dsn) as connection:
        rows = connection.execute(
            """
            select
                o.territory_id,
                o.online_order_flag,
                date_trunc('day', o.order_date),
                count(*),
                sum(l.units),
                sum(o.sub_total)
            from orders as o
            cross join lateral (
                select sum(d.order_qty) as units from order_details as d where d.sales_order_id = o.sales_order_id
            ) as l
            where o.order_date >= %s
            group by 1, 2, 3
            """,
            [since],
        ).fetchall()
    cells: dict[tuple[object, ...], tuple[int, int, Decimal]] = {}
    for territory, online, day, orders, units, revenue in rows:
        key = (TERRITORY_COUNTRY[territory], "online" if online else "reseller", day)
        old = cells.get(key, (0, 0, Decimal(0)))
        cells[key] = (old[0] + orders, old[1] + int(units), old[2] + revenue)
    return Figures(cells)


def under_the_chart(settings: Settings) -> Figures:
    """Return the same from the published table that the dashboard reads."""
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        rows = connection.execute(
            """
            select
                country,
                channel,
                date_trunc('day', order_hour)::timestamp,
                sum(orders)::bigint,
                sum(units)::bigint,
                sum(revenue)
            from sales_by_hour
            where order_hour >= current_date - interval 59 days
            group by all
            """
        ).fetchall()
    return Figures({(c, ch, day): (orders, units, revenue) for c, ch, day, orders, units, revenue in rows})


def move(settings: Settings, streams: tuple[Stream, ...]) -> None:
    process_once(settings, streams)
    runs = run_task(settings, streams, None)
    assert [(run.name, run.message) for run in runs if run.outcome == "failed"] == []


@pytest.mark.timeout(600)
def test_one_batch_changes_the_figures_by_exactly_that_batch(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    ensure_history(settings)
    # The published table is compared over the last 60 days, today included.
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(days=59)
    backfill(writer_settings, orders=600, days=45, seed=1)
    move(settings, streams)
    source_before, shown_before = at_the_source(writer_settings, since), under_the_chart(settings)
    assert shown_before == source_before

    generate(writer_settings, seed=2, batches=1)
    move(settings, streams)
    source_after, shown_after = at_the_source(writer_settings, since), under_the_chart(settings)

    assert shown_after.orders - shown_before.orders == writer_settings.order_batch_size
    assert shown_after.revenue - shown_before.revenue == source_after.revenue - source_before.revenue
    assert shown_after == source_after

    assert [check for check in run_checks(settings, streams) if check.failed] == []
    assert [entry for stream in streams for entry in open_stage(settings).entries(stream.stage)] == []
