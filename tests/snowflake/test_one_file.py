"""snowflake/load_stages.sql: the same staged windows, without the procedure; nothing twice, nothing lost."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill, generate
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from tests.snowflake import scripting
from tests.snowflake.account import create_tables
from tests.snowflake.emulator import staged_path
from tests.snowflake.plain import plain
from tests.snowflake.scripting import execute_task, run_task
from tests.snowflake.test_load_stages import CHATS, ORDERS, orders, put  # noqa: F401 - put is a fixture

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def query(snowflake_settings: Settings) -> Query:
    def ask(statement: str) -> list[tuple[Any, ...]]:
        with connect_snowflake(snowflake_settings) as connection:
            return list(connection.cursor().execute(statement).fetchall())

    scripting.deploy(snowflake_settings)
    return ask


@pytest.fixture
def stage(snowflake_settings: Settings) -> SnowflakeStage:
    return SnowflakeStage(snowflake_settings)


def test_the_tables_are_those_of_the_full_installation(snowflake_settings: Settings, query: Query) -> None:
    tables = ("orders_raw", "order_details_raw", "chat_logs_raw", "load_history")
    ours = {table: query(f"describe table raw_ext.{table}") for table in tables}
    for table in tables:
        query(f"drop table raw_ext.{table}")
    create_tables(snowflake_settings)
    assert ours == {table: query(f"describe table raw_ext.{table}") for table in tables}


@pytest.mark.slow
def test_the_raw_tables_hold_the_rows_of_the_embedded_warehouse(
    settings: Settings,
    writer_settings: Settings,
    on_snowflake: Settings,
    streams: tuple[Stream, ...],
    query: Query,
) -> None:
    backfill(writer_settings, orders=40, days=5, seed=11)
    for _ in range(2):
        process_once(settings, streams)
        process_once(on_snowflake, streams)
        for stream in streams:
            open_warehouse(settings).load(stream)
            execute_task(on_snowflake, f"load_{stream.name}")
            assert SnowflakeStage(on_snowflake).entries(stream.stage) == []
        generate(writer_settings, seed=12, batches=1)
    for stream in streams:
        schema, table = stream.raw_table.split(".")
        columns = [
            (str(name), str(kind))
            for name, kind in open_warehouse(settings).execute(
                "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ?"
                " and column_name not in ('_file', '_file_row', '_loaded_at')",
                [schema, table],
            )
        ]
        names = ", ".join(name for name, _ in columns)
        held = plain(open_warehouse(settings).execute(f"select {names} from {stream.raw_table}"), columns)
        assert held
        assert plain(query(f"select {names} from {stream.raw_table}"), columns) == held


def test_a_file_is_loaded_once_and_recorded_with_what_window_json_says(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
) -> None:
    window = put(1, data=orders("a", "b"))
    run_task(snowflake_settings, "load_orders")
    run_task(snowflake_settings, "load_orders")
    label = f"orders_stage/{window.id}/part-00000.parquet"
    assert query("select sales_order_id, _file, _file_row from raw_ext.orders_raw order by 1") == [
        ("a", label, 1),
        ("b", label, 2),
    ]
    recorded = query(
        'select stream, stage, window_id, file, kind, "ROWS", bytes, sha256, low, high, horizon, mode, run_id,'
        " staged_at from raw_ext.load_history"
    )
    (file,) = window.files
    assert recorded == [
        (
            "orders", "orders_stage", window.id, file.name, "data", 2, file.bytes, file.sha256,
            window.low, window.high, window.horizon, window.mode, window.run_id, window.staged_at,
        )
    ]  # fmt: skip
    assert query("select count(distinct _loaded_at), max(_loaded_at) from raw_ext.orders_raw") == [
        (1, query("select loaded_at from raw_ext.load_history")[0][0])
    ]


def test_a_window_without_its_manifest_is_neither_loaded_nor_removed(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
    stage: SnowflakeStage,
) -> None:
    unfinished = put(1, data=orders("a"))
    staged_path(f"@raw_ext.ORDERS_STAGE/{unfinished.id}/window.json", snowflake_settings.snowflake_database).unlink()
    put(2, data=orders("b"))
    execute_task(snowflake_settings, "load_orders")
    assert query("select sales_order_id from raw_ext.orders_raw") == [("b",)]
    assert [entry.path for entry in stage.entries("orders_stage")] == [
        f"orders_stage/{unfinished.id}/part-00000.parquet"
    ]


def test_a_file_with_fewer_rows_than_promised_stays_and_stops_no_other(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
    stage: SnowflakeStage,
) -> None:
    short = put(1, data=orders("a"), promised=7)
    put(2, data=orders("b"))
    execute_task(snowflake_settings, "load_orders")
    assert query("select sales_order_id from raw_ext.orders_raw") == [("b",)]
    assert query("select count(*) from raw_ext.load_history") == [(1,)]
    assert [window.id for window in stage.windows("orders_stage")] == [short.id]


def test_what_arrives_between_load_and_cleanup_stays(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
    stage: SnowflakeStage,
) -> None:
    put(1, data=orders("a"))
    run_task(snowflake_settings, "load_orders")
    late = put(2, data=orders("b"))
    run_task(snowflake_settings, "cleanup_orders")
    assert stage.windows("orders_stage") == [late]
    execute_task(snowflake_settings, "load_orders")
    assert query("select sales_order_id from raw_ext.orders_raw order by 1") == [("a",), ("b",)]


def test_rejected_and_deleted_rows_wait_for_the_full_installation(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
    stage: SnowflakeStage,
) -> None:
    put(1, task=CHATS, data=[{"_id": "1"}])
    kept = put(2, task=CHATS, data=[{"_id": "2"}], deletes=[{"key": {"_id": "1"}, "deleted_at": "2026-01-01 00:00:00"}])
    for _ in range(2):
        execute_task(snowflake_settings, "load_chat_logs")
    assert query("select count(*) from raw_ext.chat_logs_raw") == [(2,)]
    assert [window.id for window in stage.windows("chat_stage")] == [kept.id]


def test_rows_and_ledger_commit_together(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(1, data=orders("a"))
    arguments, block = scripting.PROCEDURES["load_arrived"]
    broken = block.replace("    commit;", "    select no_such_column from arrived;\n    commit;")
    assert broken != block
    monkeypatch.setitem(scripting.PROCEDURES, "load_arrived", (arguments, broken))
    with pytest.raises(Exception, match=r"(?i)no_such_column"):
        run_task(snowflake_settings, "load_orders")
    assert (
        query("select count(*) from raw_ext.orders_raw") == query("select count(*) from raw_ext.load_history") == [(0,)]
    )
    monkeypatch.undo()
    execute_task(snowflake_settings, "load_orders")
    assert query("select sales_order_id from raw_ext.orders_raw") == [("a",)]


def test_the_full_installation_takes_the_ledger_over(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
    stage: SnowflakeStage,
) -> None:
    from tests.snowflake.procedure import Session, run

    put(1, data=orders("a"))
    run_task(snowflake_settings, "load_orders")
    create_tables(snowflake_settings)
    with connect_snowflake(snowflake_settings) as connection:
        run(Session(connection), "load", *ORDERS)
        run(Session(connection), "cleanup", *ORDERS)
    assert query("select count(*) from raw_ext.orders_raw") == [(1,)]
    assert stage.entries("orders_stage") == []


def test_the_last_statements_show_empty_stages_and_what_was_loaded(
    snowflake_settings: Settings,
    query: Query,
    put: Callable[..., Window],  # noqa: F811
) -> None:
    put(1, data=orders("a", "b"))
    execute_task(snowflake_settings, "load_orders")
    assert scripting.shown(snowflake_settings) == [[], [], [], [("orders", 1, 2, 1)], [(2,)], [(0,)], [(0,)]]


def test_each_stream_has_a_load_and_a_cleanup_after_it_and_both_are_resumed() -> None:
    streams = ("orders", "order_details", "chat_logs")
    assert {f"load_{name}": f"cleanup_{name}" for name in streams} == scripting.FOLLOWING
    resumed = [found[1] for text in scripting.STATEMENTS if (found := re.match(r"alter task (\w+) resume", text))]
    assert sorted(resumed) == sorted(scripting.TASKS)
    assert all(resumed.index(child) < resumed.index(parent) for parent, child in scripting.FOLLOWING.items())
