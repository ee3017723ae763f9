"""The checks pass after a pass and during sales, and find each kind of damage."""

import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import WarehouseError
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.factory import open_stage, open_warehouse
from adventure.monitoring.checks import count_rows, run_checks
from adventure.monitoring.checks import flow as flow_module
from adventure.monitoring.checks.flow import Counts
from adventure.processor.run import process_once
from adventure.tasks.graph import run_loads, run_task

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Flow:
    """A pipeline after one full pass."""

    reader: Settings
    writer: Settings
    streams: tuple[Stream, ...]

    def failing(self) -> list[str]:
        return [check.label for check in run_checks(self.reader, self.streams) if check.failed]


@pytest.fixture(scope="module")
def passed(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    databases = create_databases(sandbox, "sales_checked", mongo_db="support_checked")
    paths = {
        "data_dir": tmp_path_factory.mktemp("checked"),
        "pipeline_file": ROOT / "pipeline.toml",
        "dbt_dir": ROOT / "dbt",
    }
    reader = load_settings(**{name.lower(): value for name, value in databases.reader_env.items()}, **paths)
    writer = load_settings(**{name.lower(): value for name, value in databases.writer_env.items()}, **paths)
    create_tables(writer)
    flow = Flow(reader, writer, load_streams(reader))
    backfill(writer, orders=1000, days=20, seed=5)
    process_once(reader, flow.streams)
    assert [run.message for run in run_task(reader, flow.streams, None) if run.outcome == "failed"] == []
    return flow


def test_checks_before_the_first_build_name_the_command_to_run(settings: Settings, streams: tuple[Stream, ...]) -> None:
    with pytest.raises(
        WarehouseError, match=r"base_real_time__sales_orders was never built\. Run `adventure tasks run`"
    ):
        run_checks(settings, streams)


@pytest.fixture
def flow(passed: Flow, tmp_path: Path) -> Iterator[Flow]:
    """The pipeline with its own copy of warehouse, stages and watermarks, which a test can damage or move."""
    copy = tmp_path / "data"
    shutil.copytree(passed.reader.data_dir, copy)
    with psycopg.connect(passed.reader.state_conninfo, autocommit=True) as state:
        state.execute("create temporary table saved as table adventure_watermarks")
        yield Flow(passed.reader.model_copy(update={"data_dir": copy}), passed.writer, passed.streams)
        state.execute("delete from adventure_watermarks")
        state.execute("insert into adventure_watermarks table saved")


@pytest.mark.slow
def test_all_checks_pass_after_a_pass_and_with_sales_in_flight(flow: Flow) -> None:
    assert flow.failing() == []
    generate(flow.writer, seed=6, batches=1)
    assert flow.failing() == []
    counts = {stream.name: count_rows(flow.reader, open_warehouse(flow.reader), stream) for stream in flow.streams}
    assert counts["orders"].in_flight >= flow.writer.order_batch_size
    assert counts["orders"].source == 1000 + flow.writer.order_batch_size
    assert counts["orders"].raw == counts["orders"].model == 1000


STEPS = ["read_watermarks", "open_stage", "open_probe"]
"""What a check calls, in this order."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moves", ["arrive", "are staged", "are loaded"])
def test_rows_that_move_during_a_check_raise_no_alarm(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, step: str, moves: str
) -> None:
    """Between two readings of one check, new rows arrive, move to the stage, or from there to the warehouse."""
    seed = hash_of(step, moves)
    original = getattr(flow_module, step)
    moved: list[str] = []

    def move() -> None:
        if not moved:
            moved.append(step)
            generate(flow.writer, seed=seed, batches=1)
            if moves != "arrive":
                process_once(flow.reader, flow.streams)
            if moves == "are loaded":
                run_loads(flow.reader, flow.streams)

    def reading(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        move()
        return found

    monkeypatch.setattr(flow_module, step, reading)
    assert flow.failing() == []
    assert moved, f"{step} is not called"


def hash_of(*words: str) -> int:
    return zlib.crc32(" ".join(words).encode()) % 100_000


def test_deletions_that_no_build_has_read_raise_no_alarm(flow: Flow) -> None:
    _execute(
        "insert into raw_ext.orders_raw (sales_order_id, last_modified, _deleted_at, _loaded_at)"
        " select sales_order_id, timestamp '2100-01-01', timestamp '2100-01-01', timestamp '2100-01-01'"
        " from raw_ext.orders_raw limit 1"
    )(flow)
    assert any("base_real_time__sales_orders" in name for name in flow.failing()), "no build is due"
    _execute("update raw_ext.load_history set loaded_at = timestamp '2100-01-01' where rowid = 0")(flow)
    assert not any("base_real_time__sales_orders" in name for name in flow.failing())


@pytest.mark.parametrize("is_in_flight", [False, True])
def test_an_order_whose_lines_come_with_the_next_load_raises_no_alarm(flow: Flow, is_in_flight: bool) -> None:
    order = "(select min(sales_order_id) from raw_ext.orders_raw)"
    _execute(f"delete from raw_ext.order_details_raw where sales_order_id = {order}")(flow)
    _execute(f"update dbt_prod.stg_real_time__sales_orders set order_details = null where sales_order_id = {order}")(
        flow
    )
    if not is_in_flight:
        later = "insert into raw_ext.load_history select * replace (timestamp '2100-01-01' as loaded_at)"
        _execute(f"{later} from raw_ext.load_history where stream = 'order_details' limit 1")(flow)
    assert ("not null: order_details (last 30 days)" in flow.failing()) is not is_in_flight


def _execute(statement: str) -> Callable[[Flow], None]:
    def damage(flow: Flow) -> None:
        with duckdb.connect(str(flow.reader.duckdb_path)) as connection:
            connection.execute(statement)

    return damage


def _leave_a_file(flow: Flow) -> None:
    stage = flow.reader.stage_dir / "orders_stage" / "20260101T000000000000Z-abc"
    stage.mkdir(parents=True)
    (stage / "part-00000.parquet").write_bytes(b"left behind")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        pytest.param(
            _execute("delete from raw_ext.order_details_raw where rowid = 0"),
            "order_details: raw keys",
            id="lost in raw",
        ),
        pytest.param(
            _execute("delete from dbt_prod.base_real_time__sales_orders where rowid = 0"),
            "orders: base_real_time__sales_orders",
            id="missing from the model",
        ),
        pytest.param(
            _execute(
                "insert into dbt_prod.base_real_time__sales_orders"
                " select * from dbt_prod.base_real_time__sales_orders limit 1"
            ),
            "orders: base_real_time__sales_orders",
            id="duplicate in the model",
        ),
        pytest.param(
            _execute("update dbt_prod.stg_real_time__sales_orders set comment = 'x' where rowid = 0"),
            "not null: comment (last 30 days)",
            id="a value in an empty column",
        ),
        pytest.param(
            _execute("update dbt_prod.stg_real_time__sales_orders set order_date = null, customer_id = null"),
            "orders: staging (last 30 days)",
            id="no dates",
        ),
        pytest.param(
            _execute("update dbt_prod.stg_real_time__sales_orders set currency_rate_id = '1'"),
            "not null: currency_rate_id (last 30 days)",
            id="a share out of range",
        ),
        pytest.param(
            _execute("update dbt_prod.stg_real_time__sales_orders set order_details = order_details[:1]"),
            "lines per order (last 30 days)",
            id="lines cut off",
        ),
        pytest.param(
            _execute("delete from dbt_prod.fct_sales_order_lines where rowid = 0"),
            "lines: marts (last 30 days)",
            id="missing from a mart",
        ),
        pytest.param(_leave_a_file, "orders: loaded files left in orders_stage", id="a file left in the stage"),
    ],
)
def test_each_kind_of_damage_fails_its_check(flow: Flow, damage: Callable[[Flow], None], found: str) -> None:
    damage(flow)
    assert any(name.startswith(found) for name in flow.failing())


def test_a_staged_window_counts_as_in_flight(flow: Flow) -> None:
    generate(flow.writer, seed=7, batches=1)
    process_once(flow.reader, flow.streams)
    assert open_stage(flow.reader).windows("orders_stage")
    assert flow.failing() == []


TOMBSTONES = {
    "orders": "insert into raw_ext.orders_raw (sales_order_id, last_modified, _deleted_at, _loaded_at)"
    " select sales_order_id, timestamp '2100-01-01', timestamp '2100-01-01', _loaded_at + interval 1 day"
    " from raw_ext.orders_raw limit 1",
    "chat_logs": "insert into raw_ext.chat_logs_raw (raw, _deleted_at, _loaded_at)"
    " select json_object('_id', raw->>'_id', 'last_modified', '2100-01-01T00:00:00Z'),"
    " timestamp '2100-01-01', _loaded_at + interval 1 day from raw_ext.chat_logs_raw limit 1",
}


def test_deleted_rows_do_not_count(flow: Flow) -> None:
    """Rows of a table and of a collection, after one build."""

    def counts() -> dict[str, Counts]:
        warehouse = open_warehouse(flow.reader)
        return {each.name: count_rows(flow.reader, warehouse, each) for each in flow.streams if each.name in TOMBSTONES}

    before = counts()
    for tombstone in TOMBSTONES.values():
        _execute(tombstone)(flow)
    run_task(flow.reader, flow.streams, "build")
    after = counts()
    assert {name: (found.raw, found.model) for name, found in after.items()} == {
        name: (found.raw - 1, found.raw - 1) for name, found in before.items()
    }
