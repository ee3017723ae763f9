"""The synthesised history has exact counts and sums, and depends only on the seed."""

from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import AdventureError, ConfigError
from adventure.core.settings import Settings
from adventure.demo.history import ensure_history, history_aside, load
from adventure.demo.history.synthesis import synthesise
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests import waiting


def one(settings: Settings, statement: str) -> tuple[object, ...]:
    row: tuple[object, ...] = DuckDBWarehouse(settings).execute(statement)[0]
    return row


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("ecom.sales_order_raw", 31_465),
        ("adventure_db.customer_prod_db", 19_119),
        ("adventure_db.product_prod_db", 504),
        ("adventure_db.vendor_prod_db", 104),
        ("adventure_db.product_vendor_prod_db", 460),
        ("adventure_db.inventory_prod_db", 1_069),
    ],
)
def test_tables_have_exactly_their_rows(settings: Settings, table: str, rows: int) -> None:
    assert one(settings, f"select count(*) from {table}") == (rows,)


def test_march_2013_has_its_orders_and_lines(settings: Settings) -> None:
    found = one(
        settings,
        """
        select count(*), sum(json_array_length(raw, '$.OrderDetails'))
        from ecom.sales_order_raw where raw->>'OrderDate' like '2013-03%'
        """,
    )
    assert found == (441, 2_613)


def test_all_lines_are_121_317_and_ids_have_no_gap(settings: Settings) -> None:
    found = one(
        settings,
        """
        select sum(json_array_length(raw, '$.OrderDetails')), min((raw->>'SalesOrderID')::int),
            max((raw->>'SalesOrderID')::int), count(distinct raw->>'SalesOrderID')
        from ecom.sales_order_raw
        """,
    )
    assert found == (121_317, 43_659, 75_123, 31_465)


def test_the_sum_of_an_orders_lines_is_its_sub_total(settings: Settings) -> None:
    found = one(
        settings,
        """
        with lines as (
            select
                raw,
                unnest(
                    json_transform(raw, '{"OrderDetails": [{"LineTotal": "decimal(38,9)"}]}').OrderDetails
                ) as line
            from ecom.sales_order_raw
        ), orders as (
            select
                json_transform(raw, '{"SubTotal": "decimal(38,9)"}').SubTotal as sub_total,
                sum(line.LineTotal) as total
            from lines group by raw
        )
        select count(*) from orders where sub_total != total
        """,
    )
    assert found == (0,)


@pytest.mark.slow
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        synthesise(tmp_path / folder, seed=5)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_an_existing_history_is_kept(settings: Settings) -> None:
    before = one(settings, "select max(_loaded_at) from ecom.sales_order_raw")
    ensure_history(settings)
    assert one(settings, "select max(_loaded_at) from ecom.sales_order_raw") == before


def test_a_missing_file_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sales_order_raw"):
        load(settings, tmp_path)


@pytest.mark.slow
def test_a_history_made_aside_is_the_same(tmp_path: Path) -> None:
    aside = load_settings(data_dir=tmp_path / "data")
    with history_aside(aside) as load_history:
        load_history()
    synthesise(tmp_path / "here", seed=1)
    files = sorted(path.name for path in (tmp_path / "here").iterdir())
    for name in files:
        assert (aside.data_dir / "history" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name
    assert one(aside, "select count(*) from ecom.sales_order_raw") == (31_465,)
    with history_aside(aside) as load_history:
        before = one(aside, "select max(_loaded_at) from ecom.sales_order_raw")
        load_history()
        assert one(aside, "select max(_loaded_at) from ecom.sales_order_raw") == before


@pytest.mark.slow
def test_a_history_that_cannot_be_written_aside_says_why(tmp_path: Path) -> None:
    aside = load_settings(data_dir=tmp_path / "data")
    with history_aside(aside) as load_history:
        # A file in the place of the folder.
        (aside.data_dir / "history").write_text("")
        with pytest.raises(AdventureError, match=r"could not be made in .*Error"):
            load_history()


def test_a_history_made_aside_stops_with_its_block_and_leaves_no_file(tmp_path: Path) -> None:
    aside = load_settings(data_dir=tmp_path / "data")

    def leave() -> None:
        with history_aside(aside):
            waiting.until(lambda: any(aside.data_dir.glob("history.*")))
            raise ConfigError("the demo failed", "try again")

    with pytest.raises(ConfigError):
        leave()
    assert list(aside.data_dir.glob("history*")) == []
