"""Changes of a table at the source, from ALTER TABLE through the stage to the raw table."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
import pymongo
import pytest

from adventure.core.errors import SchemaDrift, SourceShapeError, WatermarkMismatch
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from adventure.processor.cycle import run_cycle
from adventure.processor.reset import reset_stream
from adventure.processor.run import open_pipeline, process_once
from tests.processor.conftest import stream_of, writer

Run = Callable[[str], None]

THINGS = stream_of("things")


@pytest.fixture
def source(writer_settings: Settings) -> Iterator[Run]:
    """Return a function that runs statements on a table `things(id, changed_at, value integer)`."""
    with writer(writer_settings) as connection:

        def run(statements: str) -> None:
            for statement in statements.split(";"):
                connection.execute(statement)  # type: ignore[arg-type]

        run(
            "create table things (id int primary key, value int,"
            " changed_at timestamp not null default (clock_timestamp() at time zone 'utc'));"
            "create index on things (changed_at); insert into things values (1, 7)"
        )
        yield run


@pytest.fixture
def warehouse(settings: Settings) -> DuckDBWarehouse:
    return DuckDBWarehouse(settings)


def rows(warehouse: DuckDBWarehouse, columns: str = "id, value") -> list[tuple[Any, ...]]:
    return warehouse.execute(f"select {columns} from raw_ext.things_raw order by id")


HARMLESS = [
    ("a column is added", "alter table things add extra text default 'new'", "insert into things values (2, 8)",
     "id, value, extra", [(1, 7, None), (2, 8, "new")]),
    ("a column is dropped", "alter table things drop value", "insert into things values (2)", "id, value", [(1, 7), (2, None)]),
    ("a column is renamed", "alter table things rename value to amount", "insert into things values (2, 8)",
     "id, value, amount", [(1, 7, None), (2, None, 8)]),
    ("an integer is widened", "alter table things alter value type bigint", "insert into things values (2, 1099511627776)",
     "id, value", [(1, 7), (2, 2**40)]),
    ("an integer becomes a decimal", "alter table things alter value type numeric(12,2)", "insert into things values (2, 1.25)",
     "id, value", [(1, Decimal("7.00")), (2, Decimal("1.25"))]),
    ("an integer is narrowed", "alter table things alter value type smallint", "insert into things values (2, 8)",
     "id, value", [(1, 7), (2, 8)]),
    ("the cursor becomes a timestamptz",
     "alter table things alter changed_at drop default, alter changed_at type timestamptz using changed_at at time zone 'utc',"
     " alter changed_at set default clock_timestamp()", "insert into things values (2, 8)", "id, value", [(1, 7), (2, 8)]),
    ("columns change their order", "alter table things add value_2 int; update things set value_2 = value;"
     " alter table things drop value; alter table things rename value_2 to value", "insert into things (id, value) values (2, 8)",
     "id, value", [(1, 7), (2, 8)]),
    ("the table is created again", "drop table things; create table things (value bigint, changed_at timestamp default"
     " (clock_timestamp() at time zone 'utc'), id bigint)", "insert into things (id, value) values (2, 8)",
     "id, value", [(1, 7), (2, 8)]),
]  # fmt: skip


each_harmless_change = pytest.mark.parametrize(
    ("change", "then", "columns", "expected"), [case[1:] for case in HARMLESS], ids=[c[0] for c in HARMLESS]
)


@each_harmless_change
def test_a_change_without_loss_needs_no_operator(
    settings: Settings,
    source: Run,
    warehouse: DuckDBWarehouse,
    change: str,
    then: str,
    columns: str,
    expected: list[tuple[Any, ...]],
) -> None:
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    source(f"{change};{then}")
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    assert rows(warehouse, columns) == expected


@each_harmless_change
def test_a_processor_that_has_run_for_long_follows_the_change(
    settings: Settings,
    source: Run,
    warehouse: DuckDBWarehouse,
    change: str,
    then: str,
    columns: str,
    expected: list[tuple[Any, ...]],
) -> None:
    """A driver may prepare a statement that it ran several times, and the server refuses it after the change."""
    with open_pipeline(settings, [THINGS]) as pipeline:
        for _ in range(7):
            assert not run_cycle(pipeline).failures
        warehouse.load(THINGS)
        source(f"{change};{then}")
        time.sleep(0.15)
        assert not run_cycle(pipeline).failures
    warehouse.load(THINGS)
    assert rows(warehouse, columns) == expected


STOPPED = [
    ("another type", "alter table things alter value type text using 'seven'", "VARCHAR", "INTEGER"),
    ("dropped and added with another type", "alter table things drop value; alter table things add value boolean", "BOOLEAN",
     "INTEGER"),
    ("more digits than a decimal has", "alter table things alter value type numeric(60,20)", "VARCHAR", "INTEGER"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "staged", "held"), [case[1:] for case in STOPPED], ids=[case[0] for case in STOPPED]
)
def test_a_change_that_does_not_fit_stops_the_stream_until_the_remedy(
    settings: Settings, source: Run, warehouse: DuckDBWarehouse, change: str, staged: str, held: str
) -> None:
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    source(f"{change}; insert into things (id, value) values (2, null)")
    process_once(settings, [THINGS])
    with pytest.raises(SchemaDrift) as caught:
        warehouse.load(THINGS)
    assert f"things: column value is staged as {staged} in window" in str(caught.value)
    assert f"no longer fits raw_ext.things_raw, where it is {held}; nothing of the window was loaded" in str(
        caught.value
    )
    assert rows(warehouse) == [(1, 7)]
    # Follow the remedy in the message.
    remedy = 'alter table raw_ext.things_raw rename "value" to '
    assert f"({remedy}…)" in str(caught.value)
    with duckdb.connect(str(settings.duckdb_path)) as connection:
        connection.execute(f"{remedy} old_value")
    warehouse.load(THINGS)
    assert rows(warehouse, "id, old_value, value") == [(1, 7, None), (2, None, None)]


def test_staged_windows_keep_their_columns(settings: Settings, source: Run, warehouse: DuckDBWarehouse) -> None:
    for statements in (
        "select 1",
        "alter table things add extra int; insert into things values (2, 8, default, 9)",
        "alter table things alter value type bigint; insert into things values (3, 1099511627776)",
        "alter table things drop extra; alter table things alter value type text; insert into things values (4, 'four')",
        "insert into things values (5, 'five')",
    ):
        source(statements)
        process_once(settings, [THINGS])
    with pytest.raises(SchemaDrift, match="staged as VARCHAR"):
        warehouse.load(THINGS)
    assert rows(warehouse, "id, value, extra") == [(1, 7, None), (2, 8, 9), (3, 2**40, None)]
    with duckdb.connect(str(settings.duckdb_path)) as connection:
        connection.execute("alter table raw_ext.things_raw rename value to old_value")
    assert warehouse.load(THINGS) == LoadResult(2, 2)
    assert rows(warehouse, "id, old_value, value")[3:] == [(4, None, "four"), (5, None, "five")]


@pytest.mark.parametrize(
    ("change", "sentence", "fixed"),
    [
        (
            "alter table things rename id to number",
            r"public\.things has no column id, which is its key",
            {"key": ("number",)},
        ),
        ("alter table things drop id", "has no column id, which is its key", {"key": ("value",)}),
        (
            "alter table things rename changed_at to modified",
            "has no column changed_at, which is its cursor",
            {"cursor": "modified"},
        ),
        (
            "alter table things alter changed_at drop default, alter changed_at type time using changed_at::time",
            "its cursor changed_at is of type time",
            {},
        ),
        ("alter table things rename to items", r"there is no table public\.things in database", {"table": "items"}),
        ("drop table things", r"there is no table public\.things in database", {}),
    ],
)
def test_without_its_key_cursor_or_table_a_stream_stops_until_its_entry_is_fixed(
    settings: Settings, source: Run, warehouse: DuckDBWarehouse, change: str, sentence: str, fixed: dict[str, Any]
) -> None:
    process_once(settings, [THINGS])
    source(change)
    with pytest.raises(SourceShapeError, match=sentence):
        process_once(settings, [THINGS])
    if fixed:
        stream: Stream = replace(THINGS, **fixed)
        source(f"insert into {stream.table} (value) values (8)" if "drop id" in change else _insert(stream))
        # The watermark belongs to the original entry.
        with pytest.raises(WatermarkMismatch, match="`adventure stream reset things`"):
            process_once(settings, [stream])
        reset_stream(settings, stream, None)
        process_once(settings, [stream])
        warehouse.load(stream)
        assert {row[0] for row in warehouse.execute("select value from raw_ext.things_raw")} == {7, 8}


def _insert(stream: Stream) -> str:
    return f"insert into {stream.table} ({stream.key[0]}, value) values (2, 8)"


def test_a_table_that_was_missing_is_read_from_its_watermark_when_it_returns(
    settings: Settings, source: Run, warehouse: DuckDBWarehouse
) -> None:
    process_once(settings, [THINGS])
    source("alter table things rename to hidden")
    with pytest.raises(SourceShapeError):
        process_once(settings, [THINGS])
    source("insert into hidden values (2, 8); alter table hidden rename to things")
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    assert rows(warehouse) == [(1, 7), (2, 8)]


def test_a_truncated_table_deletes_nothing(settings: Settings, source: Run, warehouse: DuckDBWarehouse) -> None:
    process_once(settings, [THINGS])
    source("truncate things; insert into things values (2, 8)")
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    assert rows(warehouse) == [(1, 7), (2, 8)]


def test_a_new_nested_field_of_documents_is_staged(
    settings: Settings, streams: tuple[Stream, ...], warehouse: DuckDBWarehouse
) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        chats = client[settings.mongo_db][settings.mongo_collection]
        versions: list[dict[str, Any]] = [{}, {"rating": {"stars": 5, "tags": ["kind"]}}, {"rating": "five"}]
        for number, more in enumerate(versions):
            chats.insert_one({"_id": f"c{number}", "last_modified": now, **more})
            process_once(settings, [streams[2]])
    warehouse.load(streams[2])
    found = warehouse.execute(
        "select distinct raw ->> '$._id', (raw -> '$.rating')::varchar from raw_ext.chat_logs_raw order by 1"
    )
    assert found == [("c0", None), ("c1", '{"stars":5,"tags":["kind"]}'), ("c2", '"five"')]


@pytest.mark.parametrize("name", ["VALUE", "_file", "_LOADED_AT", "_file_row", "_deleted_at", "file_row_number"])
def test_a_column_whose_name_is_taken_stops_its_stream_before_anything_is_staged(
    settings: Settings, source: Run, warehouse: DuckDBWarehouse, name: str
) -> None:
    source(f'alter table things add "{name}" int; create table fine as select * from things; update fine set id = 2')
    source(f'alter table fine drop "{name}"')
    fine = stream_of("fine", name="fine", stage="fine_stage", raw_table="raw_ext.fine_raw")
    with pytest.raises(SourceShapeError, match=rf"things: column {name} of public\.things has the same name as"):
        process_once(settings, [THINGS, fine])
    assert FolderStage(settings.stage_dir).entries(THINGS.stage) == []
    warehouse.load(fine)
    assert warehouse.execute("select id from raw_ext.fine_raw") == [(2,)]
    source(f'alter table things rename "{name}" to renamed; insert into things values (3, 8, default, 9)')
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    assert rows(warehouse, "id, value, renamed") == [(1, 7, None), (3, 8, 9)]


def test_a_name_that_is_taken_later_stops_the_stream_and_keeps_its_watermark(
    settings: Settings, source: Run, warehouse: DuckDBWarehouse
) -> None:
    process_once(settings, [THINGS])
    source('alter table things add "Value" int; insert into things values (2, 8, default, 9)')
    with pytest.raises(SourceShapeError, match=r"column Value of public\.things has the same name as value"):
        process_once(settings, [THINGS])
    source('alter table things rename "Value" to other')
    process_once(settings, [THINGS])
    warehouse.load(THINGS)
    assert rows(warehouse, "id, value, other") == [(1, 7, None), (2, 8, 9)]


def test_the_source_is_never_asked_to_wait_for_long(source: Run, settings: Settings, writer_settings: Settings) -> None:
    """A migration between two cycles waits for no lock of the processor."""
    process_once(settings, [THINGS])
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        connection.execute("set lock_timeout = '50ms'")
        connection.execute("alter table things add at_once int")
