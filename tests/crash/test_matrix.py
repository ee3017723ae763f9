"""Kill the real commands with kill -9 at every crash point, for a table and a collection; the next run must recover."""

import shutil
from pathlib import Path

import pytest

from adventure.core.faults import Point
from adventure.destinations.duckdb.connection import connect
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.comparison import compare_dashboard, compare_model, compare_raw, leftover_files
from tests.crash.conftest import World
from tests.crash.points import CLEANUP, LOAD, PROCESSOR

pytestmark = pytest.mark.slow

STREAMS = {"orders": "orders_stage", "order_details": "order_details_stage", "chat_logs": "chat_stage"}
# The models for which others wait, and the tasks after the crash: build and publish.
BUILD = [
    ("model-built:base_real_time__sales_orders", True),
    ("model-built:stg_real_time__sales_orders", True),
    ("model-built:sales_last_30_days", True),
    ("built", True),
    ("copy-written", False),
    ("published", False),
]

# One stream of each kind of source: two tables are read and loaded by the same code.
by_source = pytest.mark.parametrize("stream", ["orders", "chat_logs"])
at_processor = pytest.mark.parametrize(("point", "time"), PROCESSOR, ids=lambda value: getattr(value, "label", value))


def at(point: Point, stream: str, time: int = 1) -> str:
    return f"{point.label}:{STREAMS[stream] if point.of == 'stage' else stream}:{time}"


def test_every_point_is_in_the_matrix() -> None:
    tried = {point.label for point, _ in PROCESSOR + CLEANUP} | {point.label for point in LOAD}
    tried |= {each.partition(":")[0] for each, _ in BUILD}
    assert tried == {point.label for point in Point}


@by_source
@at_processor
def test_a_killed_processor(world: World, point: Point, time: int, stream: str) -> None:
    again = world.count_rows_staged_twice()
    _crash_between_writes(world, at(point, stream, time))
    world.converge()
    assert world.count_rows_staged_twice() == again, "staged windows were recovered, not extracted again"


def test_a_processor_killed_when_the_other_table_of_the_snapshot_has_moved(world: World) -> None:
    """With `orders` in test_a_killed_processor: one of the two watermarks has moved, whichever is first."""
    again = world.count_rows_staged_twice()
    _crash_between_writes(world, at(Point.WATERMARK_MOVED, "order_details"))
    world.converge()
    assert world.count_rows_staged_twice() == again


@at_processor
def test_a_killed_processor_without_a_change_stream(
    world_without_change_streams: World, point: Point, time: int
) -> None:
    _crash_between_writes(world_without_change_streams, at(point, "chat_logs", time))
    world_without_change_streams.converge()


def _crash_between_writes(world: World, at: str) -> None:
    """Kill the processor over rows below the horizon, while other rows are committed before, late and afterwards."""
    world.write()
    with world.late_transaction():
        world.write()
        world.crash("process", at=at)
        world.write()


@by_source
def test_a_window_loaded_and_removed_before_the_processor_restarts(world: World, stream: str) -> None:
    world.write()
    world.crash("process", at=at(Point.WINDOW_STAGED, stream))
    world.load()
    world.write()
    world.converge()


@by_source
@pytest.mark.parametrize("point", LOAD, ids=lambda point: point.label)
def test_a_killed_load(world: World, point: Point, stream: str) -> None:
    world.write()
    world.process()
    world.crash("tasks", "run", f"load_{stream}", at=at(point, stream))
    world.write()
    world.converge()


@by_source
@pytest.mark.parametrize(("point", "time"), CLEANUP, ids=["file", "window.json"])
def test_a_killed_cleanup(world: World, point: Point, time: int, stream: str) -> None:
    world.write()
    world.process()
    world.load(cleanup=False)
    world.write()
    world.process()
    world.crash("tasks", "run", f"cleanup_{stream}", at=at(point, stream, time))
    world.converge()


@pytest.mark.parametrize(("point", "build_is_due"), BUILD, ids=[point for point, _ in BUILD])
def test_a_killed_build_or_publish(world: World, point: str, build_is_due: bool) -> None:
    world.write()
    world.converge()
    world.crash("tasks", "run", "build", at=point)
    warehouse = DuckDBWarehouse(world.settings)
    assert (warehouse.build_is_due(), warehouse.publish_is_due()) == (build_is_due, not build_is_due)
    if not point.startswith("model-built"):
        for stream in world.streams:
            comparison = compare_model(world.settings, stream)
            assert comparison.holds, comparison


def test_everything_equals_the_source_after_all_crashes(world: World) -> None:
    world.write()
    world.process()
    world.run("tasks", "run")
    for stream in world.streams:
        for comparison in (compare_raw(world.settings, stream), compare_model(world.settings, stream)):
            assert comparison.holds, comparison
            assert comparison.rows > 0
    assert leftover_files(world.settings, world.streams) == []
    assert compare_dashboard(world.settings).holds


@pytest.fixture(scope="module")
def built(world: World) -> World:
    """Return the world after a build, whichever tests ran before."""
    world.write()
    world.process()
    world.run("tasks", "run")
    return world


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("delete from raw_ext.orders_raw where sales_order_id = $key", {"lost", "doubled"}),
        ("insert into raw_ext.orders_raw from raw_ext.orders_raw where sales_order_id = $key", {"doubled"}),
        ("update raw_ext.orders_raw set sub_total = sub_total + 0.000001 where sales_order_id = $key", {"lost"}),
        ("update raw_ext.orders_raw set sales_order_id = 'another' where sales_order_id = $key", {"lost", "extra"}),
        ("insert into raw_ext.load_history from raw_ext.load_history where stream = 'orders'", {"doubled"}),
        ("delete from dbt_prod.base_real_time__sales_orders where sales_order_id = $key", {"lost"}),
        ("insert into dbt_prod.base_real_time__sales_orders from dbt_prod.base_real_time__sales_orders", {"doubled"}),
    ],
)
def test_the_comparison_finds_each_kind_of_damage(built: World, tmp_path: Path, damage: str, found: set[str]) -> None:
    settings = built.settings.model_copy(update={"data_dir": tmp_path / "copy"})
    shutil.copytree(built.settings.data_dir, settings.data_dir)
    orders = built.streams[0]
    with connect(settings.duckdb_path) as warehouse:
        (key,) = warehouse.execute("select max(sales_order_id) from raw_ext.orders_raw").fetchone() or ()
        warehouse.execute(damage, {"key": key} if "$key" in damage else None)
    comparisons = [compare_raw(settings, orders), compare_model(settings, orders)]
    assert found == {name for each in comparisons for name in ("lost", "doubled", "extra") if getattr(each, name)}
