"""No row is staged before the row that it refers to, however the two were written, interrupted or refused."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from adventure.core.errors import SourceShapeError, SourceUnavailable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import Rows, stream_of, superuser, writer

Staged = Callable[[Stream], Rows]

BUYERS = stream_of("buyers", name="buyers", stage="buyers_stage", raw_table="raw_ext.buyers")
SALES = stream_of(
    "sales",
    name="sales",
    stage="sales_stage",
    raw_table="raw_ext.sales",
    references={"buyers": ("buyer",)},
    timezone="UTC",
)
LINES = stream_of(
    "lines", name="lines", stage="lines_stage", raw_table="raw_ext.lines", references={"sales": ("sale",)}
)
SHOP = [BUYERS, SALES, LINES]

STAMP = "changed_at timestamp not null default (clock_timestamp() at time zone 'utc')"


@pytest.fixture
def shop(writer_settings: Settings) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Create three tables, each of which refers to the one before; yield the connection of their writer."""
    with writer(writer_settings) as connection:
        connection.execute(f"create table buyers (id int primary key, {STAMP})")  # type: ignore[arg-type]
        connection.execute(f"create table sales (id int primary key, buyer int, {STAMP}, note text)")  # type: ignore[arg-type]
        connection.execute(f"create table lines (id int primary key, sale int, {STAMP})")  # type: ignore[arg-type]
        for table in ("buyers", "sales", "lines"):
            connection.execute(f"create index on {table} (changed_at)")  # type: ignore[arg-type]
        yield connection


@contextmanager
def held_horizon(settings: Settings) -> Iterator[None]:
    """Keep the horizon back, so that rows written in the block lie past it."""
    time.sleep(0.15)
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute("select 1")
        yield
        connection.rollback()


def sell(shop: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    shop.execute("insert into buyers values (%s)", [number])
    shop.execute("insert into sales values (%s, %s)", [number, number])
    shop.execute("insert into lines values (%s, %s)", [number, number])


def touch(shop: psycopg.Connection[tuple[object, ...]], table: str, number: int) -> None:
    shop.execute(f"update {table} set changed_at = clock_timestamp() at time zone 'utc' where id = {number}")  # type: ignore[arg-type]


def ids(rows: Rows) -> list[int]:
    return sorted(row["id"] for row in rows)


def test_an_order_updated_past_the_horizon_is_staged_with_its_lines_and_again_later(
    settings: Settings, writer_settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    with held_horizon(writer_settings):
        touch(shop, "sales", 1)
        sell(shop, 2)
        process_once(settings, SHOP)
        assert [ids(staged(stream)) for stream in SHOP] == [[1], [1], [1]], "and nothing to which no line refers yet"
        marks = read_watermarks(settings)
        assert marks["sales"].value == marks["sales"].horizon - timedelta(days=2), "with no row of its own below it"
    process_once(settings, SHOP)
    assert [ids(staged(stream)) for stream in SHOP] == [[1, 2], [1, 1, 2], [1, 2]]


def test_a_referred_row_does_not_move_the_watermark(
    settings: Settings, writer_settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    process_once(settings, SHOP)
    before = read_watermarks(settings)["sales"]
    shop.execute("insert into sales values (2, 1); insert into lines values (2, 2)")
    with held_horizon(writer_settings):
        touch(shop, "sales", 2)
        process_once(settings, SHOP)
        assert (ids(staged(SALES)), ids(staged(LINES))) == ([1, 2], [1, 2])
        assert read_watermarks(settings)["sales"].value == before.value
    process_once(settings, SHOP)
    assert ids(staged(SALES)) == [1, 2, 2]
    assert read_watermarks(settings)["sales"].value > before.value


def test_rows_that_an_order_refers_to_are_staged_with_it(
    settings: Settings, writer_settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    with held_horizon(writer_settings):
        touch(shop, "buyers", 1)
        touch(shop, "sales", 1)
        process_once(settings, SHOP)
    assert [ids(staged(stream)) for stream in SHOP] == [[1], [1], [1]]


def test_lines_whose_watermark_lags_are_staged_with_their_orders(
    settings: Settings, writer_settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    process_once(settings, SHOP[:2])
    sell(shop, 2)
    with held_horizon(writer_settings):
        touch(shop, "sales", 1)
        touch(shop, "sales", 2)
        process_once(settings, SHOP)
    assert ids(staged(LINES)) == [1, 2]
    assert {1, 2} <= set(ids(staged(SALES)))


def test_a_composite_key_is_compared_column_by_column(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    with writer(writer_settings) as shop:
        shop.execute(f"create table parts (a int, b text, {STAMP}, primary key (a, b))")  # type: ignore[arg-type]
        shop.execute(f"create table uses (id int primary key, part_a bigint, part_b varchar(9), {STAMP})")  # type: ignore[arg-type]
        shop.execute("insert into parts values (1, 'x'), (1, 'y'); insert into uses values (1, 1, 'x')")
        parts = stream_of("parts", name="parts", stage="parts", key=("a", "b"))
        uses = stream_of("uses", name="uses", stage="uses", references={"parts": ("part_a", "part_b")})
        with held_horizon(writer_settings):
            shop.execute("update parts set changed_at = clock_timestamp() at time zone 'utc'")
            process_once(settings, [parts, uses])
    assert [(row["a"], row["b"]) for row in staged(parts)] == [(1, "x")]


def test_an_order_of_the_far_future_is_staged_once_while_its_lines_are_read_again(
    settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sales, lines = replace(SALES, references={}), replace(LINES, lookback=timedelta(seconds=60))
    shop.execute("insert into sales values (1, 1, '9000-01-01'), (2, 1, '9000-01-01'); insert into lines values (1, 1)")
    time.sleep(0.15)
    with open_pipeline(settings, [sales, lines]) as pipeline:
        run_cycle(pipeline)
        assert [report.window for report in run_cycle(pipeline).streams] == [None, None]
    assert ids(staged(sales)) == [1]


def test_lines_wait_for_an_order_whose_table_cannot_be_read(
    settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    time.sleep(0.15)
    shop.execute("alter table sales rename to sold")
    with open_pipeline(settings, SHOP) as pipeline:
        failures = [str(failure) for failure in run_cycle(pipeline).failures.values()]
    assert [failure.split(" in database")[0] for failure in failures] == [
        "stream sales: there is no table public.sales",
        "stream lines waits for sales, to which it refers.",
    ]
    assert (ids(staged(BUYERS)), staged(LINES)) == ([1], [])
    shop.execute("alter table sold rename to sales")
    process_once(settings, SHOP)
    assert [ids(staged(stream)) for stream in SHOP] == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("references", "sentence"),
    [
        ({"sales": ("order_id",)}, r"public\.lines has no column order_id, which refers to sales"),
        ({"sales": ("changed_at",)}, "its changed_at is of type timestamp, and the id of sales, to which it refers"),
    ],
)
def test_a_reference_that_does_not_fit_the_tables_is_named(
    settings: Settings,
    shop: psycopg.Connection[tuple[object, ...]],
    references: dict[str, tuple[str, ...]],
    sentence: str,
) -> None:
    with pytest.raises(SourceShapeError, match=sentence):
        process_once(settings, [SALES, replace(LINES, references=references)])


def test_a_table_being_rewritten_is_not_read_as_empty(
    settings: Settings, writer_settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    with open_pipeline(settings, SHOP) as pipeline, psycopg.connect(writer_settings.postgres_dsn) as migration:
        time.sleep(0.15)
        migration.execute("alter table sales alter note type integer using 7")
        cycle = threading.Thread(target=run_cycle, args=[pipeline])
        cycle.start()
        _await_lock(shop)
        migration.commit()
        cycle.join()
    assert [ids(staged(stream)) for stream in SHOP] == [[1], [1], [1]]
    assert staged(SALES)[0]["note"] == 7


def test_a_session_that_waits_to_change_a_table_goes_first(
    settings: Settings,
    writer_settings: Settings,
    shop: psycopg.Connection[tuple[object, ...]],
    staged: Staged,
    tmp_path: Path,
) -> None:
    """ALTER TABLE waits for the snapshot's lock, and later readers queue behind it, including the snapshot itself."""
    sell(shop, 1)
    with open_pipeline(settings, [BUYERS]) as pipeline, psycopg.connect(writer_settings.postgres_dsn) as migration:
        time.sleep(0.15)
        change = threading.Thread(target=migration.execute, args=["alter table buyers add column note text"])
        with pipeline.sources["postgres"].open_snapshot([BUYERS], {}) as snapshot:
            change.start()
            _await_lock(shop)
            with pytest.raises(SourceUnavailable, match="A session waits to change a table"):
                snapshot.extract(BUYERS, tmp_path / "extract")
        change.join()
        migration.commit()
        assert not run_cycle(pipeline).failures
    assert ids(staged(BUYERS)) == [1]


def _await_lock(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    while connection.execute("select count(*) from pg_locks where not granted").fetchone() == (0,):
        time.sleep(0.01)


def test_the_window_after_a_prepared_transaction_reads_the_lookback_again(
    settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    shop.execute("begin; insert into buyers values (1); prepare transaction 'held_buyer'")
    sell(shop, 2)
    time.sleep(0.15)
    with open_pipeline(settings, [BUYERS]) as pipeline:
        run_cycle(pipeline)
        assert ids(staged(BUYERS)) == [2]
        shop.execute("commit prepared 'held_buyer'")
        run_cycle(pipeline)
        assert ids(staged(BUYERS)) == [1, 2]
        assert read_watermarks(settings)["buyers"].mode == "horizon"
        run_cycle(pipeline)
    assert ids(staged(BUYERS)) == [1, 2]


def test_a_session_that_hides_its_transactions_forces_the_lookback(
    sandbox: Sandbox,
    settings: Settings,
    writer_settings: Settings,
    shop: psycopg.Connection[tuple[object, ...]],
    staged: Staged,
) -> None:
    sell(shop, 2)
    with superuser(sandbox, settings) as hidden:
        hidden.execute("set track_activities = off")
        hidden.execute("begin; insert into buyers values (1)")
        process_once(settings, [BUYERS])
        hidden.execute("commit")
    assert read_watermarks(settings)["buyers"].mode == "lookback: a session runs with track_activities off"
    process_once(settings, [BUYERS])
    assert sorted(set(ids(staged(BUYERS)))) == [1, 2]


def test_a_table_without_select_privilege_does_not_stop_the_others(
    settings: Settings, shop: psycopg.Connection[tuple[object, ...]], staged: Staged
) -> None:
    sell(shop, 1)
    time.sleep(0.15)
    shop.execute("revoke select on sales from adventure_reader")
    with open_pipeline(settings, SHOP) as pipeline:
        failures = [str(failure) for failure in run_cycle(pipeline).failures.values()]
    assert failures[0] == (
        "stream sales: the role adventure_reader may not read public.sales."
        ' grant select on "public"."sales" to "adventure_reader".'
    )
    assert (ids(staged(BUYERS)), staged(LINES)) == ([1], [])


def test_a_referred_row_with_the_largest_cursor_sets_no_watermark(
    settings: Settings, shop: psycopg.Connection[tuple[object, ...]]
) -> None:
    """A first window with only referred rows from above the horizon ends two days below the horizon.

    No row has shown yet how coarse the cursor is, and the next row may be dated to the last midnight.
    """
    shop.execute("insert into sales values (1, 1, %s)", [datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)])
    shop.execute("insert into lines values (1, 1)")
    process_once(settings, [replace(SALES, references={}), LINES])
    mark = read_watermarks(settings)["sales"]
    assert mark.value == mark.horizon - timedelta(days=2)
