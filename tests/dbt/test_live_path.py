"""Test the models of live orders with rows that arrive late, twice or out of order, in one build or in many."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.dbt.conftest import NOON, Project, chat, line, new_project, order

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)

HISTORY = """{"SalesOrderID": 43659, "CustomerID": "29825", "AccountNumber": "10-4020-000676", "Comment": null,
"CreditCardApprovalCode": "105041Vi84182", "PurchaseOrderNumber": "PO522145787", "SalesOrderNumber": "SO43659",
"DeliveryEstimate": "2 weeks", "BillToAddressID": 985, "ShipToAddressID": 985, "CreditCardID": 16281, "CurrencyRateID": null,
"RevisionNumber": 8, "SalesPersonID": 279, "ShipMethodID": 5, "Status": 5, "TerritoryID": 5, "Freight": 616.0984,
"SubTotal": 40.5, "TaxAmt": 1971.5149, "TotalDue": 2628.1133, "OnlineOrderFlag": 0, "DueDate": "2011-06-12T00:00:00",
"OrderDate": "2011-05-31T10:11:12", "ShipDate": "2011-06-07T00:00:00", "ModifiedDate": "2011-06-07", "OrderDetails": [
{"SalesOrderDetailID": 1, "CarrierTrackingNumber": "4911-403C-98", "OrderQty": 2, "ProductID": 776, "SpecialOfferID": 1,
"UnitPrice": 20.25, "UnitPriceDiscount": 0, "LineTotal": 40.500000, "ModifiedDate": "2011-05-31"}]}"""

CUSTOMERS = [
    {"customerid": 11000, "firstname": "Ada", "lastname": "Moss", "fullname": "Ada Moss", "countryregion": "France"},
    {"customerid": 11001, "firstname": "Bo", "lastname": "Lind", "fullname": "Bo Lind", "countryregion": "Germany"},
    {"customerid": 29825, "firstname": "Cy", "lastname": "Wu", "fullname": "Cy Wu", "countryregion": "United States"},
]

LIVE_MODELS = (
    "base_real_time__sales_orders",
    "base_real_time__order_details",
    "stg_real_time__sales_orders",
    "stg_real_time__chat_logs",
    "stg_ecom__sales_orders",
    "int_sales_order_line_items",
    "int_customer_first_orders",
    "int_sales_order_with_customers",
    "fct_sales_order_lines",
    "fct_support_chats",
    "sales_last_30_days",
)

LAST_MOMENT = "9999-12-31T23:59:59Z"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """Four builds on one warehouse with error-prone sequences of rows."""
    project = new_project(tmp_path_factory.mktemp("warehouse"), dbt_folder)
    project.load(
        orders=[
            order("a", sub_total=Decimal("30.25"), tax_amt=Decimal("2.42")),
            order("b", customer_id=11001, sub_total=Decimal(10), order_date=NOON + HOUR),
            order("b", customer_id=11001, sub_total=Decimal(10), order_date=NOON + HOUR, status=1),
        ],
        lines=[
            line("a2", "a", order_qty=2, unit_price=Decimal("10.125"), product_id=708),
            line("a1", "a"),
            line("b1", "b"),
        ],
        # Dates at both ends of the calendar: an integer cannot hold the minutes between them.
        chats=[
            chat("c1"),
            chat("odd", chat_start_time="0001-01-01T00:00:00Z", chat_completion_time=LAST_MOMENT),
            # Text that only DuckDB reads as a time.
            chat("odder", chat_start_time="infinity", chat_completion_time="0044-03-15 (BC)"),
        ],
    )
    project.build()
    # The history is loaded after the first live sales.
    project.insert("ecom.sales_order_raw", [{"raw": HISTORY, "_loaded_at": project.next_stamp()}])
    stamp = project.next_stamp()
    project.insert("adventure_db.customer_prod_db", [{**customer, "_loaded_at": stamp} for customer in CUSTOMERS])
    project.load(
        # An order whose line comes with the next load; and an older order of a known customer.
        orders=[order("c", sub_total=Decimal(20)), order("d", sub_total=Decimal(10), order_date=NOON - 24 * HOUR)],
        lines=[line("d1", "d"), line("orphan", "not-there-yet")],
        chats=[chat("c2", ticket_status="Pending")],
    )
    project.build()
    answer = {"sender": "agent", "sent_at": (NOON + HOUR).isoformat() + "+00:00", "text": "Charge it"}
    closed = {
        "ticket_status": "Closed",
        "customer_satisfaction_rating": 4,
        "chat_completion_time": (NOON + 2 * HOUR).isoformat(),
    }
    project.load(
        orders=[
            # A new version, and a version older than the one in the table.
            order("a", sub_total=Decimal("40.25"), status=6, last_modified=NOON + 3 * HOUR),
            order("d", sub_total=Decimal(99), order_date=NOON - 24 * HOUR, last_modified=NOON - 30 * HOUR),
        ],
        lines=[
            line("c1", "c", order_qty=2),
            line("a1", "a", order_qty=2, last_modified=NOON + 3 * HOUR),
            line("d1", "d", order_qty=7, last_modified=NOON - 30 * HOUR),
        ],
        chats=[
            chat(
                "c1", **closed, messages=[*chat("c1")["messages"], answer], last_modified=(NOON + 2 * HOUR).isoformat()
            ),
            chat("c2", ticket_status="Open", last_modified=(NOON - HOUR).isoformat() + "+00:00"),
        ],
    )
    project.build()
    project.build()
    return project


def test_each_key_appears_once_in_its_latest_version(project: Project) -> None:
    assert project.query(
        "select sales_order_id, status, sub_total from dbt_prod.base_real_time__sales_orders order by 1"
    ) == [
        ("a", 6, Decimal("40.25")),
        ("b", 1, Decimal(10)),
        ("c", 5, Decimal(20)),
        ("d", 5, Decimal(10)),
    ]
    assert project.query(
        "select sales_order_detail_id, order_qty from dbt_prod.base_real_time__order_details order by 1"
    ) == [
        ("a1", 2),
        ("a2", 2),
        ("b1", 1),
        ("c1", 2),
        ("d1", 1),
        ("orphan", 1),
    ]
    assert project.query("select chat_id, ticket_status from dbt_prod.stg_real_time__chat_logs order by 1") == [
        ("c1", "Closed"),
        ("c2", "Pending"),
        ("odd", "Open"),
        ("odder", "Open"),
    ]


def test_lines_are_nested_again_when_a_line_arrives(project: Project) -> None:
    [(nested,)] = project.query("select order_details from dbt_prod.stg_ecom__sales_orders where sales_order_id = 'a'")
    assert nested == [
        {
            "SalesOrderDetailID": "a1",
            "CarrierTrackingNumber": None,
            "OrderQty": 2,
            "ProductID": "707",
            "SpecialOfferID": "1",
            "UnitPrice": Decimal(10),
            "UnitPriceDiscount": Decimal(0),
            "LineTotal": Decimal(20),
            "ModifiedDate": NOON + 3 * HOUR,
        },
        {
            "SalesOrderDetailID": "a2",
            "CarrierTrackingNumber": None,
            "OrderQty": 2,
            "ProductID": "708",
            "SpecialOfferID": "1",
            "UnitPrice": Decimal("10.125"),
            "UnitPriceDiscount": Decimal(0),
            "LineTotal": Decimal("20.25"),
            "ModifiedDate": NOON,
        },
    ]
    assert project.query(
        "select len(order_details) from dbt_prod.stg_ecom__sales_orders where sales_order_id = 'c'"
    ) == [(1,)]


def test_history_and_live_sales_are_in_one_table(project: Project) -> None:
    columns = [name for name, *_ in project.query("describe dbt_prod.stg_ecom__sales_orders")]
    assert columns == [
        "sales_order_id",
        "customer_id",
        "account_number",
        "bill_to_address_id",
        "comment",
        "credit_card_approval_code",
        "credit_card_id",
        "currency_rate_id",
        "delivery_estimate_days",
        "due_date",
        "freight",
        "modified_date",
        "online_order_flag",
        "order_date",
        "order_details",
        "purchase_order_number",
        "revision_number",
        "sales_order_number",
        "sales_person_id",
        "ship_date",
        "shipping_method",
        "ship_to_address_id",
        "status",
        "sub_total",
        "tax_amt",
        "territory_id",
        "total_due",
    ]
    assert project.query(
        "select sales_order_id, delivery_estimate_days, shipping_method, total_due from dbt_prod.stg_ecom__sales_orders"
        " where sales_order_id in ('43659', 'b') order by 1"
    ) == [
        ("43659", 14, "CARGO TRANSPORT 5", Decimal("2628.1133")),
        ("b", None, "XRQ - TRUCK GROUND", Decimal(10)),
    ]
    assert project.query(
        "select order_details[1].LineTotal from dbt_prod.stg_ecom__sales_orders where sales_order_id = '43659'"
    ) == [(Decimal("40.5"),)]


def test_flattened_lines_equal_the_original_lines(project: Project) -> None:
    flat = project.query(
        "select sales_order_detail_id, order_qty, product_id, unit_price, line_total, modified_date"
        " from dbt_prod.int_sales_order_line_items where sales_order_id != '43659' order by 1"
    )
    held = project.query(
        "select sales_order_detail_id, order_qty, product_id, unit_price, line_total, last_modified"
        " from dbt_prod.base_real_time__order_details where sales_order_detail_id != 'orphan' order by 1"
    )
    assert flat == held
    assert len(project.table("fct_sales_order_lines")) == len(flat) + 1


def test_an_order_placed_earlier_that_arrives_later_is_the_first(project: Project) -> None:
    assert project.query(
        "select sales_order_id, customer_name, country, channel, loyalty, units, sub_total"
        " from dbt_prod.int_sales_order_with_customers order by 1"
    ) == [
        ("43659", "Cy Wu", "United States", "reseller", "first-time", 2, Decimal("40.5")),
        ("a", "Ada Moss", "France", "online", "repeat", 4, Decimal("40.25")),
        ("b", "Bo Lind", "Germany", "online", "first-time", 1, Decimal(10)),
        ("c", "Ada Moss", "France", "online", "repeat", 2, Decimal(20)),
        ("d", "Ada Moss", "France", "online", "first-time", 1, Decimal(10)),
    ]


def test_the_last_30_days_are_added_up_by_hour_and_segment(project: Project) -> None:
    assert project.query("select * from dbt_prod.sales_last_30_days order by order_hour, country") == [
        (NOON - 24 * HOUR, "France", "online", "first-time", "none", 1, 1, Decimal(10)),
        (NOON, "France", "online", "repeat", "none", 2, 6, Decimal("60.25")),
        (NOON + HOUR, "Germany", "online", "first-time", "none", 1, 1, Decimal(10)),
    ]


def test_support_chats_say_how_fast_they_were_answered(project: Project) -> None:
    assert project.query(
        "select chat_id, first_response_minutes, resolution_minutes, customer_satisfaction_rating, messages"
        " from dbt_prod.fct_support_chats order by 1"
    ) == [
        ("c1", 60, 120, 4, 2),
        ("c2", None, None, None, 1),
        ("odd", None, None, None, 1),
        ("odder", None, None, None, 1),
    ]


def test_a_line_without_its_order_is_a_warning(project: Project) -> None:
    warned = {name for name, status in project.statuses.items() if status == "warn"}
    assert any(name.startswith("relationships_latest_base_real_time__order_details") for name in warned)


def test_a_chat_is_tested_only_when_the_orders_are_as_recent(tmp_path: Path, dbt_folder: Path) -> None:
    project = new_project(tmp_path, dbt_folder)
    models = ("base_real_time__sales_orders", "stg_real_time__chat_logs")
    chosen = ("--indirect-selection", "cautious", "--select", *models)
    later = {"sales_order_id": "b", "last_modified": (NOON + HOUR).isoformat()}
    project.load(orders=[order("a")], chats=[chat("c1"), chat("c2", **later)])
    project.build(*chosen)
    assert project.statuses["chats_refer_to_known_orders"] == "pass"
    # Orders written after the chat are loaded, but not the chat's order.
    project.load(orders=[order("c", last_modified=NOON + 2 * HOUR)])
    project.build(*chosen)
    assert project.statuses["chats_refer_to_known_orders"] == "warn"
    project.load(orders=[order("b", last_modified=NOON + HOUR)])
    project.build(*chosen)
    assert project.statuses["chats_refer_to_known_orders"] == "pass"


def test_an_order_is_tested_only_when_the_lines_are_as_recent(tmp_path: Path, dbt_folder: Path) -> None:
    project = new_project(tmp_path, dbt_folder)
    chosen = ("--indirect-selection", "cautious", "--select", "+stg_real_time__sales_orders")
    sold = {"sub_total": Decimal(10)}
    project.load(orders=[order("a", **sold), order("b", **sold, last_modified=NOON + HOUR)], lines=[line("a1", "a")])
    project.build(*chosen)
    assert project.statuses["live_details_add_up"] == "pass"
    # A line written after the order is loaded, but not the order's own line.
    project.load(lines=[line("a1", "a", last_modified=NOON + HOUR)])
    project.build(*chosen)
    assert project.statuses["live_details_add_up"] == "warn"
    project.load(lines=[line("b1", "b", last_modified=NOON + HOUR)])
    project.build(*chosen)
    assert project.statuses["live_details_add_up"] == "pass"


def test_a_full_refresh_gives_the_same_tables(project: Project) -> None:
    taken_as_it_came = {model: project.table(model) for model in LIVE_MODELS}
    project.build("--full-refresh")
    for model in LIVE_MODELS:
        assert project.table(model) == taken_as_it_came[model], model
    assert all(taken_as_it_came.values())
