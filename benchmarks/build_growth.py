"""Measure whether the cost of a build depends on the new rows or on the total: 200 orders on 50,000 and on 1,000,000.

It fills the raw tables by SQL, builds, and then times builds of one batch each. The first two are dbt's, the next ones
repeat them. The time of the models is without dbt's start and the tests. The result is the ratio of the medians.

    make bench-build, or python -m benchmarks.build_growth [--orders 50000 1000000] [--rounds 5]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.demo.history import ensure_history
from adventure.destinations.duckdb.connection import connect
from adventure.factory import open_warehouse
from benchmarks.results import Results, add_argument

BATCH = 200
BY_DBT = 2
"""Increments of dbt before the warehouse repeats them without it."""
GOAL = 1.5
BUILD_GOAL = 5.0

ORDERS = """
insert into raw_ext.orders_raw by name
select
    cast(md5('order' || i) as uuid)::varchar as sales_order_id,
    8 as revision_number,
    5 as status,
    1 as online_order_flag,
    'SO' || i as sales_order_number,
    '10-4030-0' || customer_id as account_number,
    customer_id,
    1 + customer_id % 10 as territory_id,
    customer_id as bill_to_address_id,
    customer_id as ship_to_address_id,
    1 as ship_method_id,
    '16' as credit_card_id,
    '123Vi456' as credit_card_approval_code,
    10 * lines as sub_total,
    0.8 * lines as tax_amt,
    0.25 * lines as freight,
    11.05 * lines as total_due,
    placed + interval 12 day as due_date,
    placed as order_date,
    placed + interval 7 day as ship_date,
    placed as last_modified,
    'batch-' || i // {batch} as _file,
    i % {batch} as _file_row,
    {loaded_at} as _loaded_at
from (
    -- Within the last 30 days, as the generator's orders are: the mart of the last days reads all of them.
    select
        i,
        11000 + (i * 7919) % 18484 as customer_id,
        [1, 2, 3, 4, 5, 6, 7, 8, 3, 3, 2, 2][1 + i % 12] as lines,
        timestamp '{now}' - to_microseconds(cast(29 * 86400e6 * ({last} - i) / {last} as bigint)) as placed
    from range({first}, {last}) as numbers (i)
)
"""

LINES = """
insert into raw_ext.order_details_raw by name
select
    cast(md5(sales_order_number || '-' || line) as uuid)::varchar as sales_order_detail_id,
    sales_order_id,
    1 as order_qty,
    707 + (hash(sales_order_number) + line) % 293 as product_id,
    1 as special_offer_id,
    10 as unit_price,
    0 as unit_price_discount,
    10 as line_total,
    last_modified,
    _file,
    10 * _file_row + line as _file_row,
    _loaded_at
from raw_ext.orders_raw
cross join unnest(range(cast(sub_total / 10 as bigint))) as lines (line)
where _loaded_at >= {loaded_since}
"""

CHATS = """
insert into raw_ext.chat_logs_raw by name
select
    json_object(
        '_id', md5(sales_order_number)[:24], 'sales_order_id', sales_order_id, 'customer_id', customer_id,
        'product_id', 707, 'order_date', order_date, 'chat_start_time', order_date, 'ticket_channel', 'Email',
        'ticket_type', 'Refund request', 'ticket_subject', 'Payment issue', 'ticket_priority', 'Low',
        'ticket_status', 'Open', 'messages', [], 'last_modified', last_modified
    ) as raw,
    _file,
    _file_row,
    _loaded_at
from raw_ext.orders_raw
where _loaded_at >= {loaded_since} and _file_row % 50 = 0
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--orders", type=int, nargs="+", default=[50_000, 1_000_000])
    arguments.add_argument("--rounds", type=int, default=5)
    add_argument(arguments)
    options = arguments.parse_args()
    measure(options.orders, options.rounds).write(options.json)


def measure(sizes: Sequence[int], rounds: int) -> Results:
    """Print every batch's figures, and compare the largest number of orders with the smallest."""
    results, models = Results("build_growth"), {}
    for orders in sizes:
        with tempfile.TemporaryDirectory() as folder:
            models[orders], builds = _measure(load_settings(data_dir=Path(folder)), orders, rounds)
        results.add(f"build of a batch on {orders:,} live orders, by dbt", builds[:BY_DBT])
        results.add(f"build of a batch on {orders:,} live orders", builds[BY_DBT:], goal=BUILD_GOAL)
    smallest, largest = min(models), max(models)
    figure = f"models of a batch on {largest:,} live orders, against {smallest:,}"
    results.add(figure, models[largest][BY_DBT:], yardstick=models[smallest][BY_DBT:], goal=GOAL)
    return results


def _measure(settings: Settings, orders: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of the models and of the whole build for each batch."""
    warehouse, streams = open_warehouse(settings), load_streams(settings)
    ensure_history(settings)
    now = utc_now()
    fill(settings, 0, orders, now)
    begun = time.monotonic()
    warehouse.build(streams)
    print(f"{orders:,} live orders: first build {time.monotonic() - begun:.1f} s", flush=True)
    models, builds = [], []
    for number in range(BY_DBT + rounds):
        first = orders + number * BATCH
        fill(settings, first, first + BATCH, now)
        begun = time.monotonic()
        warehouse.build(streams)
        builds.append(time.monotonic() - begun)
        by_model = _model_times(settings)
        models.append(sum(by_model.values()))
        slowest = sorted(by_model, key=lambda name: -by_model[name])[:5]
        print(
            f"  batch {number + 1}: {len(by_model)} models {models[-1]:.2f} s, whole build {builds[-1]:.2f} s; "
            + ", ".join(f"{name} {by_model[name]:.2f}" for name in slowest),
            flush=True,
        )
    return models, builds


def fill(settings: Settings, first: int, last: int, now: datetime) -> None:
    """Insert orders `first` to `last` with their lines and chats; each batch gets its own stamp."""
    # Builds detect new rows by the stamp, so it must only grow.
    start = f"timestamp '{now - timedelta(days=29)}'"
    loaded_at = f"{start} + to_seconds(i // {BATCH})"
    loaded_since = f"{start} + to_seconds({first} // {BATCH})"
    with connect(settings.duckdb_path) as connection:
        connection.execute(ORDERS.format(batch=BATCH, first=first, last=last, now=now, loaded_at=loaded_at))
        connection.execute(LINES.format(loaded_since=loaded_since))
        connection.execute(CHATS.format(loaded_since=loaded_since))


def _model_times(settings: Settings) -> dict[str, float]:
    """Return the seconds of each model in the last build."""
    path = settings.data_dir / "dbt" / "target" / "run_results.json"
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {
        result["unique_id"].split(".")[-1]: result["execution_time"]
        for result in results
        if result["unique_id"].startswith("model.")
    }


if __name__ == "__main__":
    main()
