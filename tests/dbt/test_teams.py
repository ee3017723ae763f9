"""What teams that already run such a pipeline bring: 'NaN' as text, raw tables of their own, and schemas of their own."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.pipeline_file import load_streams
from adventure.core.streams import find_stream
from adventure.destinations.duckdb.connection import connect
from adventure.factory import open_warehouse
from tests.conftest import ROOT
from tests.dbt.conftest import NOON, Project, chat, line, new_project, order

NULLABLE = ("comment", "currency_rate_id", "credit_card_id", "purchase_order_number", "sales_person_id")


def history(order_id: int) -> dict[str, Any]:
    """Return an order of March 2013 as such generators write it."""
    return {
        "SalesOrderID": order_id,
        "Comment": "NaN",
        "CurrencyRateID": "NaN" if order_id % 25 >= 11 else "4",
        "CreditCardID": "7",
        "PurchaseOrderNumber": "NaN",
        "SalesPersonID": "NaN",
        "OrderDate": "2013-03-07T00:00:00",
        "ModifiedDate": "2013-03-07T00:00:00",
        "Status": 5,
        "OrderDetails": [],
    }


@pytest.fixture(scope="module")
def nan_project(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """One hundred live orders and one hundred of the history; 44 of each have a currency rate, none has a comment."""
    project = new_project(tmp_path_factory.mktemp("warehouse"), dbt_folder)
    project.load(
        orders=[
            order(
                str(number),
                comment="NaN",
                currency_rate_id="NaN" if number % 25 >= 11 else "4",
                purchase_order_number="nan",
                sales_person_id="NaN",
            )
            for number in range(100)
        ],
        lines=[line("1", "0", carrier_tracking_number="NaN"), line("2", "0", carrier_tracking_number="4911-403C-98")],
        chats=[chat("c", resolution="NaN", customer_satisfaction_rating="NaN")],
    )
    documents = [{"raw": json.dumps(history(number))} for number in range(100_000, 100_100)]
    project.insert("ecom.sales_order_raw", [{**row, "_loaded_at": project.next_stamp()} for row in documents])
    project.build_models("--select", "+stg_ecom__sales_orders", "stg_real_time__chat_logs")
    return project


@pytest.mark.parametrize("model", ["base_real_time__sales_orders", "base_ecom__sales_orders", "stg_ecom__sales_orders"])
def test_the_proportions_of_values_that_are_not_null(nan_project: Project, model: str) -> None:
    shares = ", ".join(f"count({name}) / count(*)" for name in NULLABLE)
    assert nan_project.query(f"select {shares} from dbt_prod.{model}") == [(0, 0.44, 1, 0, 0)]


def test_nan_in_lines_and_chats_is_null(nan_project: Project) -> None:
    lines = "select carrier_tracking_number from dbt_prod.base_real_time__order_details order by sales_order_detail_id"
    assert nan_project.query(lines) == [(None,), ("4911-403C-98",)]
    chats = "select resolution, customer_satisfaction_rating from dbt_prod.stg_real_time__chat_logs"
    assert nan_project.query(chats) == [(None, None)]


# --- Raw tables of their own load script

THEIR_TABLES = """
drop table raw_ext.orders_raw;
drop table raw_ext.order_details_raw;
drop table raw_ext.chat_logs_raw;
create table raw_ext.orders_raw (
    SALES_ORDER_ID varchar, revision_number varchar, status varchar, online_order_flag boolean, sales_order_number varchar,
    purchase_order_number varchar, account_number varchar, customer_id varchar, sales_person_id varchar,
    territory_id varchar, bill_to_address_id varchar, ship_to_address_id varchar, ship_method_id varchar,
    credit_card_id varchar, credit_card_approval_code varchar, currency_rate_id varchar, sub_total decimal(18, 2),
    tax_amt decimal(18, 2), freight decimal(18, 2), total_due decimal(18, 2), comment varchar, due_date timestamp,
    order_date timestamp, ship_date timestamp, last_modified timestamp, source_system varchar
);
create table raw_ext.order_details_raw (
    sales_order_detail_id varchar, sales_order_id varchar, order_qty varchar, product_id varchar,
    special_offer_id varchar, unit_price decimal(18, 2), unit_price_discount decimal(18, 2), line_total decimal(18, 2),
    last_modified timestamp
);
create schema team;
create table team.chats (raw json);
"""
OLD = "00000000-0000-4000-8000-0000000000a1"


@pytest.fixture
def taken_over(tmp_path: Path, dbt_folder: Path) -> Project:
    """A warehouse with raw tables of another load script, one row each."""
    project = new_project(tmp_path, dbt_folder)
    with duckdb.connect(str(project.path)) as connection:
        connection.execute(THEIR_TABLES)
    old = order(OLD, online_order_flag=True, customer_id="11000", currency_rate_id="NaN", territory_id="NaN")
    project.insert("raw_ext.orders_raw", [{**old, "sub_total": Decimal("10.25"), "source_system": "shop"}])
    project.insert("raw_ext.order_details_raw", [_without(line("l1", OLD), "carrier_tracking_number")])
    project.insert("team.chats", [{"raw": json.dumps(chat("c1"))}])
    return project


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def adopt(project: Project, name: str, table: str | None = None) -> int:
    settings = load_settings(data_dir=project.path.parent, pipeline_file=ROOT / "pipeline.toml")
    return open_warehouse(settings).adopt(find_stream(load_streams(settings), name), table)


def adopt_all(project: Project) -> None:
    assert [adopt(project, "orders"), adopt(project, "order_details"), adopt(project, "chat_logs", "team.chats")] == [
        1,
        1,
        1,
    ]


def test_raw_tables_of_their_own_are_taken_over_and_later_loads_continue(taken_over: Project) -> None:
    adopt_all(taken_over)
    later = NOON + timedelta(hours=1)
    taken_over.load(orders=[order(OLD, status=6, last_modified=later), order("new")], chats=[chat("c2")])
    taken_over.build_models("--select", "+stg_ecom__sales_orders", "stg_real_time__chat_logs")
    assert taken_over.query(
        "select sales_order_id, status, online_order_flag, currency_rate_id, territory_id, len(order_details)"
        " from dbt_prod.stg_ecom__sales_orders order by 1"
    ) == [(OLD, 6, True, None, "7", 1), ("new", 5, True, None, "7", None)]
    assert taken_over.query("select chat_id from dbt_prod.stg_real_time__chat_logs order by 1") == [("c1",), ("c2",)]


def test_an_adopted_raw_table_has_the_shipped_types_and_keeps_every_value(taken_over: Project) -> None:
    adopt_all(taken_over)
    kept = "select sub_total, customer_id, territory_id, source_system, online_order_flag from raw_ext.orders_raw"
    assert taken_over.query(kept) == [(Decimal("10.25"), 11000, None, "shop", 1)]
    shipped = {"customer_id": "INTEGER", "online_order_flag": "INTEGER", "sub_total": "DECIMAL(38,9)"}
    types = dict(row[:2] for row in taken_over.query("describe raw_ext.orders_raw"))
    assert shipped.items() <= types.items()
    # The table that was there keeps its rows under another name.
    assert taken_over.query("select count(*) from raw_ext.orders_raw_before_adventure") == [(1,)]


def test_nothing_is_taken_over_twice(taken_over: Project) -> None:
    adopt_all(taken_over)
    with pytest.raises(ConfigError, match="already has the form"):
        adopt(taken_over, "orders")
    with pytest.raises(ConfigError, match=r"1 rows of .* were taken over before"):
        adopt(taken_over, "chat_logs", "team.chats")
    with pytest.raises(ConfigError, match=r"has no table team\.absent"):
        adopt(taken_over, "orders", "team.absent")


def test_a_value_that_does_not_fit_leaves_everything_unchanged(taken_over: Project) -> None:
    with connect(taken_over.path) as connection:
        connection.execute("update raw_ext.orders_raw set customer_id = 'A-1'")
    with pytest.raises(Exception, match="A-1"):
        adopt(taken_over, "orders")
    assert taken_over.query("select customer_id from raw_ext.orders_raw") == [("A-1",)]


# --- Schemas of their own


def test_the_history_may_be_in_other_schemas_and_models_in_dbt_dev(tmp_path: Path, dbt_folder: Path) -> None:
    project = new_project(tmp_path, tmp_path / "dbt")
    with duckdb.connect(str(project.path)) as connection:
        connection.execute("create schema old_mktg; create schema adventure_prod_db")
        connection.execute("create table old_mktg.email_campaign_raw as from ecom.email_campaign_raw")
        connection.execute("create table adventure_prod_db.customer_prod_db as from adventure_db.customer_prod_db")
        for table in ("ecom.email_campaign_raw", "adventure_db.customer_prod_db"):
            connection.execute(f"drop table {table}")
    project.insert("old_mktg.email_campaign_raw", [{"raw": '{"event_id": "e1"}'}])
    project.insert("adventure_prod_db.customer_prod_db", [{"customerid": 11000}])
    variables = "{adventure_db_schema: adventure_prod_db, old_mktg_schema: old_mktg}"
    selected = ["base_ecom__email_campaigns", "stg_adventure_db__customers"]
    project.dbt("run", "--vars", variables, "--target", "dev", "--select", *selected)
    assert project.query("select event_id from dbt_dev.base_ecom__email_campaigns") == [("e1",)]
    assert project.query("select customer_id from dbt_dev.stg_adventure_db__customers") == [("11000",)]
    assert project.query("select count(*) from information_schema.tables where table_schema = 'dbt_prod'") == [(0,)]
