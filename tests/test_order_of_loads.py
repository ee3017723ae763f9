"""Loads that run one after the other while the processor continues leave consistent tables."""

import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from adventure.tasks.graph import task_graph


def test_windows_staged_during_loads_leave_no_line_without_its_order(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sell(seed: int) -> None:
        backfill(writer_settings, orders=20, days=3, seed=seed)
        process_once(settings, streams)

    load = DuckDBWarehouse.load

    def load_while_sales_go_on(warehouse: DuckDBWarehouse, stream: Stream) -> LoadResult:
        moved = load(warehouse, stream)
        sell(seed=len(stream.name))
        return moved

    monkeypatch.setattr(DuckDBWarehouse, "load", load_while_sales_go_on)
    sell(seed=1)
    warehouse = open_warehouse(settings)
    for task in task_graph(settings, warehouse, streams):
        if task.name.startswith("load_"):
            task.run()
    assert isinstance(warehouse, DuckDBWarehouse)
    [(lines, without)] = warehouse.execute(
        "select count(*), count(*) filter (sales_order_id not in (select sales_order_id from raw_ext.orders_raw))"
        " from raw_ext.order_details_raw"
    )
    assert lines > 0
    assert without == 0
