"""Rows deleted at the source leave the models, whenever and in whatever order the tombstones arrive."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.dbt.conftest import NOON, Project, chat, chat_tombstone, line, new_project, order, tombstone

HOUR = timedelta(hours=1)
KEPT = NOON - 48 * HOUR


def delete_order(order_id: str, at: timedelta = 5 * HOUR) -> dict[str, object]:
    return tombstone("sales_order_id", order_id, NOON + at)


def delete_line(line_id: str, at: timedelta = 5 * HOUR) -> dict[str, object]:
    return tombstone("sales_order_detail_id", line_id, NOON + at)


MODELS = ["fct_sales_order_lines", "sales_last_30_days", "fct_support_chats", "int_sales_order_with_customers"]


@pytest.fixture(scope="module", params=[pytest.param("in increments", marks=pytest.mark.slow), "at once"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """Rows deleted after a build, before any version arrived, and restored later; built in increments or at once."""
    project = new_project(tmp_path_factory.mktemp("warehouse"), dbt_folder)

    def build() -> None:
        if request.param == "in increments":
            project.build_models("--select", *(f"+{model}" for model in MODELS))

    project.load(
        orders=[
            order("kept", order_date=KEPT, sub_total=Decimal(20)),
            order("deleted", customer_id=11001, order_date=KEPT - HOUR, sub_total=Decimal(20)),
            order("emptied", customer_id=11002, sub_total=Decimal(10)),
            order("back", customer_id=11003, order_date=KEPT - HOUR, sub_total=Decimal(10)),
            order("second", customer_id=11001, order_date=KEPT + HOUR, sub_total=Decimal(10)),
        ],
        lines=[
            line("kept-1", "kept"),
            line("kept-2", "kept"),
            line("deleted-1", "deleted"),
            line("deleted-2", "deleted"),
            line("emptied-1", "emptied"),
            line("back-1", "back"),
            line("second-1", "second"),
        ],
        chats=[chat("kept"), chat("deleted"), chat("back")],
    )
    build()
    project.load(
        # A delete of an order without any version, and a delete that is older than the version in the table.
        orders=[delete_order("deleted"), delete_order("back"), delete_order("early"), delete_order("kept", -50 * HOUR)],
        lines=[delete_line("deleted-1"), delete_line("deleted-2"), delete_line("emptied-1"), delete_line("kept-2")],
        chats=[
            chat_tombstone("deleted", NOON + HOUR),
            chat_tombstone("back", NOON + HOUR),
            chat_tombstone("early", NOON + HOUR),
        ],
    )
    build()
    project.load(
        # Versions from before the delete, and one from after it.
        orders=[
            order("early", sub_total=Decimal(10), last_modified=NOON),
            order("deleted", customer_id=11001, status=1, order_date=KEPT - HOUR, last_modified=NOON + HOUR),
            order("back", customer_id=11003, order_date=KEPT - HOUR, sub_total=Decimal(10), status=6,
                  last_modified=NOON + 6 * HOUR),
        ],
        lines=[line("early-1", "early")],
        chats=[chat("back", ticket_status="Pending", last_modified=(NOON + 2 * HOUR).isoformat()), chat("early")],
    )  # fmt: skip
    if request.param == "at once":
        project.build_models()
    else:
        build()
        build()  # Another build without new rows changes nothing.
    return project


def test_deleted_orders_are_in_no_model_after_staging(project: Project) -> None:
    for model in ("stg_ecom__sales_orders", "int_sales_order_with_customers"):
        assert project.query(f"select sales_order_id from dbt_prod.{model} order by 1") == [
            ("back",),
            ("emptied",),
            ("kept",),
            ("second",),
        ]


def test_deleted_lines_leave_their_orders_and_the_mart(project: Project) -> None:
    for model in ("int_sales_order_line_items", "fct_sales_order_lines"):
        assert project.query(f"select sales_order_id, sales_order_detail_id from dbt_prod.{model} order by all") == [
            ("back", "back-1"),
            ("kept", "kept-1"),
            ("second", "second-1"),
        ]
    [(details,)] = project.query(
        "select order_details from dbt_prod.stg_ecom__sales_orders where sales_order_id = 'emptied'"
    )
    assert details is None


def test_the_next_order_becomes_the_first_when_the_first_is_deleted(project: Project) -> None:
    assert project.query(
        "select sales_order_id, loyalty from dbt_prod.int_sales_order_with_customers where customer_id = '11001'"
    ) == [("second", "first-time")]
    assert project.query("select customer_id from dbt_prod.int_customer_first_orders order by 1") == [
        ("11000",),
        ("11001",),
        ("11002",),
        ("11003",),
    ]


def test_the_dashboards_mart_counts_the_remaining_orders(project: Project) -> None:
    assert project.query("select sum(orders), sum(units), sum(revenue) from dbt_prod.sales_last_30_days") == [
        (4, 3, Decimal(50))
    ]


def test_deleted_chats_leave_the_mart_and_come_back(project: Project) -> None:
    assert project.query("select chat_id, ticket_status from dbt_prod.fct_support_chats order by 1") == [
        ("back", "Pending"),
        ("kept", "Open"),
    ]


def test_base_models_keep_the_values_of_deleted_rows(project: Project) -> None:
    assert project.query(
        "select sales_order_id, status, _deleted_at from dbt_prod.base_real_time__sales_orders order by 1"
    ) == [
        ("back", 6, None),
        ("deleted", 1, NOON + 5 * HOUR),
        ("early", 5, NOON + 5 * HOUR),
        ("emptied", 5, None),
        ("kept", 5, None),
        ("second", 5, None),
    ]
    assert project.query(
        "select sales_order_detail_id, sales_order_id from dbt_prod.base_real_time__order_details"
        " where _deleted_at is not null order by 1"
    ) == [("deleted-1", "deleted"), ("deleted-2", "deleted"), ("emptied-1", "emptied"), ("kept-2", "kept")]
