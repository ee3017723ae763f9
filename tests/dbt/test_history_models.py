"""Test the models of the history: their content, rebuilds after a new load, and the handling of faulty rows."""

import csv
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adventure.demo.history.loading import create_tables, load_files
from adventure.demo.history.tables import RAW_TABLES
from adventure.destinations.duckdb.connection import connect
from tests.dbt.conftest import Project, Row, new_project

pytestmark = pytest.mark.slow

LINE = {
    "SalesOrderDetailID": 1,
    "CarrierTrackingNumber": None,
    "OrderQty": 2,
    "ProductID": 707,
    "SpecialOfferID": 1,
    "UnitPrice": 20,
    "UnitPriceDiscount": 0,
    "LineTotal": 40,
    "ModifiedDate": "2013-03-01",
}
ORDER = {
    "SalesOrderID": 43659,
    "CustomerID": 11000,
    "AccountNumber": "10-4030-011000",
    "Comment": None,
    "CreditCardApprovalCode": None,
    "PurchaseOrderNumber": None,
    "SalesOrderNumber": "SO43659",
    "DeliveryEstimate": "2 weeks",
    "DueDate": "2013-03-13",
    "OrderDate": "2013-03-01 10:00:00",
    "ShipDate": "2013-03-08",
    "ModifiedDate": "2013-03-08",
    "BillToAddressID": 1,
    "ShipToAddressID": 1,
    "CreditCardID": None,
    "CurrencyRateID": None,
    "RevisionNumber": 8,
    "SalesPersonID": None,
    "ShipMethodID": 1,
    "Status": 5,
    "TerritoryID": 7,
    "Freight": 1,
    "SubTotal": 40,
    "TaxAmt": 3.2,
    "TotalDue": 44.2,
    "OnlineOrderFlag": 1,
    "OrderDetails": [LINE],
}
PURCHASE = {
    "EmployeeID": 250,
    "Freight": 1,
    "OrderDate": "2013-01-01",
    "PurchaseOrderID": 1,
    "RevisionNumber": 4,
    "ShipDate": "2013-01-10",
    "ShipMethodID": 5,
    "Status": 4,
    "SubTotal": 30,
    "TaxAmt": 2.4,
    "TotalDue": 33.4,
    "VendorID": 1500,
}
PURCHASE_LINE = {
    "DueDate": "2013-01-15",
    "LineTotal": 30,
    "OrderQty": 3,
    "ProductID": 707,
    "PurchaseOrderDetailID": 1,
    "ReceivedQty": 3.0,
    "RejectedQty": 1.0,
    "StockedQty": 2.0,
    "UnitPrice": 10,
}
EVENT = {
    "campaign_id": "repeat_customers~Bikes~retargeting",
    "customer_id": 11000,
    "event_date": "01-Mar-2013 10.00 AM",
    "event_id": 1,
    "event_type": "conversion",
    "order_id": 43659,
    "product_id": 707,
}
NEW_EVENT = {
    "campaign_id": "repeat_customers ~ Bikes ~ retargeting",
    "EventID": 2,
    "eventDate": "05-Mar-2014 10.00 AM",
    "eventType": "EMAIL_OPENED",
    "customer_id": 11000,
    "orderId": None,
    "ProductId": 707,
}
# An event of the older feed, reported again by the newer feed in its format.
OLD_EVENT_AGAIN = {**NEW_EVENT, "EventID": 1}
PRODUCT = {"productid": 707, "productname": "Helmet", "listprice": 20, "modifieddate": "2014-01-01"}
OLD_PRODUCT = {**PRODUCT, "productid": 708, "sellenddate": "2013-05-29"}
CUSTOMER = {"customerid": 11000, "fullname": "Ada Moss", "countryregion": "France", "modifieddate": "2014-01-01"}
STOCK = {"productid": 707, "locationid": 1, "shelf": "A", "bin": 1, "quantity": 5}
VENDOR = {"vendorid": 1500, "name": "Cycles", "creditrating": 1, "preferredvendorstatus": 1, "activeflag": 1}
OFFER = {"productid": 707, "vendorid": 1500, "averageleadtime": 17, "unitmeasurecode": "CTN"}


def order(order_id: int, *, line: Row | None = None, **changes: Any) -> Row:
    """Return an order of one line with the same id as the order."""
    details = [{**LINE, "SalesOrderDetailID": order_id, **(line or {})}]
    return {**ORDER, "SalesOrderID": order_id, "OrderDetails": details, **changes}


def purchase(line_id: int, *, line: Row | None = None, **changes: Any) -> Row:
    """Return a purchase order of one line with the same id as the order."""
    details = {**PURCHASE_LINE, "PurchaseOrderDetailID": line_id, **(line or {})}
    return {**PURCHASE, "PurchaseOrderID": line_id, "OrderDetails": details, **changes}


SOUND: Mapping[str, list[Any]] = {
    "sales_order_raw": [order(43659)],
    "purchase_order_raw": [purchase(1)],
    "email_campaign_raw": [EVENT],
    "email_mktg_raw": [NEW_EVENT],
    "customer_prod_db": [CUSTOMER],
    "product_prod_db": [PRODUCT, OLD_PRODUCT],
    "inventory_prod_db": [STOCK],
    "vendor_prod_db": [VENDOR],
    "product_vendor_prod_db": [OFFER],
}

HISTORY_MODELS = (
    "base_ecom__sales_orders",
    "base_ecom__email_campaigns",
    "base_ecom__email_mktg_new",
    "stg_ecom__email_campaigns",
    "stg_ecom__purchase_orders",
    "stg_adventure_db__customers",
    "int_sales_orders_with_campaign",
    "fct_campaign_events",
    "fct_sales_order_lines",
)

BROKEN = '{"SalesOrderID": 1, "OrderDe'

# For each fault: table, row, the dbt test that finds it, and a column and its value in the row that the test stores.
FAULTS: list[tuple[str, Any, str, str, str]] = [
    ("sales_order_raw", BROKEN, "unreadable_sales_orders", "_file_row", "1"),
    ("purchase_order_raw", BROKEN, "unreadable_purchase_orders", "_file_row", "1"),
    ("email_campaign_raw", BROKEN, "unreadable_campaign_events", "_file_row", "1"),
    ("email_mktg_raw", BROKEN, "unreadable_campaign_events_new", "_file_row", "1"),
    (
        "sales_order_raw",
        order(2, OrderDate="2013-02-30"),
        "impossible_dates_of_sales_orders",
        "raw->>'SalesOrderID'",
        "2",
    ),
    (
        "purchase_order_raw",
        purchase(2, ShipDate="soon"),
        "impossible_dates_of_purchase_orders",
        "raw->>'ShipDate'",
        "soon",
    ),
    (
        "purchase_order_raw",
        purchase(3, line={"DueDate": "2013-13-01"}),
        "impossible_due_dates_of_purchase_orders",
        "raw->'OrderDetails'->>'DueDate'",
        "2013-13-01",
    ),
    (
        "email_campaign_raw",
        {**EVENT, "event_id": 3, "event_type": "email_opened", "event_date": "31-Feb-2013 01.00 PM"},
        "impossible_dates_of_campaign_events",
        "raw->>'event_id'",
        "3",
    ),
    (
        "email_mktg_raw",
        {**NEW_EVENT, "EventID": 4, "eventDate": "2014-03-05 10:00:00"},
        "impossible_dates_of_campaign_events_new",
        "raw->>'EventID'",
        "4",
    ),
    (
        "email_campaign_raw",
        {**EVENT, "event_id": 5, "order_id": None, "event_type": "email_opened", "campaign_id": "spring"},
        "known_campaign_format",
        "event_id",
        "5",
    ),
    (
        "email_mktg_raw",
        {**NEW_EVENT, "EventID": 6, "campaign_id": "repeat_customers~Bikes~giveaway"},
        "known_campaign_strategies",
        "value_field",
        "giveaway",
    ),
    ("inventory_prod_db", {**STOCK, "locationid": 2, "quantity": -3}, "positive_inventory_values", "quantity", "-3"),
    (
        "vendor_prod_db",
        {**VENDOR, "vendorid": 1501, "creditrating": 5},
        "preferred_vendors_credit_check",
        "vendor_id",
        "1501",
    ),
    (
        "sales_order_raw",
        order(3, line={"ProductID": 9999}),
        "no_sale_of_an_unknown_product_in_the_history",
        "product_id",
        "9999",
    ),
    (
        "sales_order_raw",
        order(4, SubTotal=41, TotalDue=45.2),
        "details_of_the_history_add_up",
        "sales_order_id",
        "4",
    ),
    ("sales_order_raw", order(5, TotalDue=45), "total_due_adds_up", "sales_order_id", "5"),
    ("sales_order_raw", order(6, ShipDate="2013-02-28"), "dates_in_order", "sales_order_id", "6"),
    ("purchase_order_raw", purchase(5, line={"LineTotal": 31}), "purchase_lines_add_up", "purchase_order_id", "5"),
]


def load(project: Project, folder: Path, tables: Mapping[str, list[Any]]) -> None:
    """Load a history from files: documents as NDJSON, tables as CSV, text unchanged."""
    folder.mkdir()
    for raw_table in RAW_TABLES:
        rows = tables.get(raw_table.name)
        if rows is None:
            continue
        if raw_table.keys:
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            (folder / f"{raw_table.name}.ndjson").write_text("\n".join(lines), encoding="utf-8")
        else:
            names = project.query(
                "select column_name from information_schema.columns where not starts_with(column_name, '_')"
                f" and table_name = '{raw_table.name}' order by ordinal_position"
            )
            write_csv(folder / f"{raw_table.name}.csv", [name for (name,) in names], rows)
    with connect(project.path) as connection:
        load_files(connection, folder, allow_missing=True)


def write_csv(path: Path, names: list[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def new_history(folder: Path, dbt_folder: Path) -> Project:
    project = new_project(folder, dbt_folder)
    with connect(project.path) as connection:
        create_tables(connection)
    return project


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    project = new_history(tmp_path_factory.mktemp("sound"), dbt_folder)
    load(project, tmp_path_factory.mktemp("files") / "history", SOUND)
    project.build()
    return project


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """The sound history plus every fault, built."""
    project = new_history(tmp_path_factory.mktemp("faulty"), dbt_folder)
    tables = {name: [*rows, *(fault for table, fault, *_ in FAULTS if table == name)] for name, rows in SOUND.items()}
    load(project, tmp_path_factory.mktemp("files") / "history", tables)
    project.build()
    return project


def test_a_sound_history_passes_every_test(sound: Project) -> None:
    assert {name: status for name, status in sound.statuses.items() if status not in ("success", "pass")} == {
        "sales_dashboard": "no-op"
    }


@pytest.mark.parametrize(("name", "column", "value"), [fault[2:] for fault in FAULTS], ids=[f[2] for f in FAULTS])
def test_each_fault_is_found_by_a_named_test_that_stores_the_row(
    faulty: Project, name: str, column: str, value: str
) -> None:
    assert faulty.statuses[name] == "warn"
    stored = faulty.query(f"select ({column})::varchar from dbt_prod_dbt_test__audit.{name}")
    assert (value,) in stored


def test_raw_tables_keep_faulty_rows(faulty: Project) -> None:
    for table in RAW_TABLES:
        expected = len(SOUND[table.name]) + sum(fault[0] == table.name for fault in FAULTS)
        assert faulty.query(f"select count(*) from {table.location}") == [(expected,)], table.name
    assert faulty.query("select raw->>'$' from ecom.sales_order_raw where json_type(raw) = 'VARCHAR'") == [(BROKEN,)]


def test_sound_rows_beside_faults_are_in_the_models(faulty: Project) -> None:
    orders = faulty.query("select sales_order_id, order_date is null from dbt_prod.stg_ecom__sales_orders order by 1")
    assert orders == [("2", True), ("3", False), ("4", False), ("43659", False), ("5", False), ("6", False)]
    events = faulty.query(
        "select event_id, campaign_segment, event_date is null from dbt_prod.stg_ecom__email_campaigns order by 1"
    )
    assert events == [
        ("1", "repeat_customers", False),
        ("2", "repeat_customers", False),
        ("3", "repeat_customers", True),
        ("4", "repeat_customers", True),
        ("5", None, False),
        ("6", "repeat_customers", False),
    ]


def test_a_new_history_replaces_the_old_one(tmp_path: Path, dbt_folder: Path, sound: Project) -> None:
    project = new_history(tmp_path / "warehouse", dbt_folder)
    first = {
        **SOUND,
        "sales_order_raw": [order(43659), order(43660)],
        "purchase_order_raw": [purchase(1), purchase(2)],
        "email_campaign_raw": [EVENT, {**EVENT, "event_id": 7, "event_type": "add_to_cart"}],
        "email_mktg_raw": [NEW_EVENT, OLD_EVENT_AGAIN],
    }
    load(project, tmp_path / "first", first)
    project.build()
    assert project.query("select event_id, event_type from dbt_prod.fct_campaign_events order by 1") == [
        ("1", "email_opened"),
        ("2", "email_opened"),
        ("7", "add_to_cart"),
    ]
    load(project, tmp_path / "second", SOUND)
    project.build("--full-refresh")
    for model in HISTORY_MODELS:
        assert without_stamps(project, model) == without_stamps(sound, model), model


def test_analyses_run_and_add_up(sound: Project) -> None:
    sound.dbt("compile", "--select", "campaign_sales_analysis", "email_campaign_performance")
    compiled = sound.folder / "target" / "compiled" / "adventure" / "analyses"
    sales = sound.query(
        "select campaign, orders, customers, units, revenue, share_of_revenue"
        f" from ({(compiled / 'campaign_sales_analysis.sql').read_text(encoding='utf-8')})"
    )
    assert sales == [("repeat_customers~Bikes~retargeting", 1, 1, 2, Decimal(40), 1)]
    funnel = sound.query(
        "select level, campaign_segment, campaign_category, campaign_strategy, emails_opened, emails_clicked, carts,"
        " conversions, conversion_rate, revenue"
        f" from ({(compiled / 'email_campaign_performance.sql').read_text(encoding='utf-8')})"
    )
    counts = (1, 0, 0, 1, 1.0, Decimal(40))
    assert funnel == [
        ("all", None, None, None, *counts),
        ("segment", "repeat_customers", None, None, *counts),
        ("category", None, "Bikes", None, *counts),
        ("strategy", None, None, "retargeting", *counts),
        ("campaign", "repeat_customers", "Bikes", "retargeting", *counts),
    ]


def without_stamps(project: Project, model: str) -> list[str]:
    return sorted(str(row) for row in project.query(f"select * exclude (_loaded_at) from dbt_prod.{model}"))
