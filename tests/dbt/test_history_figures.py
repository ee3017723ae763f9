"""Compare the models of the synthesised history with figures that plain Python computes from its documents."""

import json
from collections import Counter, defaultdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adventure.core.environment import load_settings
from adventure.demo.history import create
from tests.dbt.conftest import Project, new_project

pytestmark = pytest.mark.slow

Document = dict[str, Any]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    folder = tmp_path_factory.mktemp("history")
    project = new_project(folder, dbt_folder)
    create(load_settings(data_dir=folder))
    project.build()
    return project


def documents(project: Project, table: str) -> list[Document]:
    """Return the documents of a table, numbers as exact decimals."""
    rows = project.query(f"select raw::varchar from {table} order by _file, _file_row")
    return [json.loads(raw, parse_float=Decimal) for (raw,) in rows]


@pytest.fixture(scope="module")
def orders(history: Project) -> dict[str, Document]:
    return {str(order["SalesOrderID"]): order for order in documents(history, "ecom.sales_order_raw")}


@pytest.fixture(scope="module")
def events(history: Project) -> dict[int, Document]:
    """Return each event once, with the older feed's keys; the newer feed's version takes precedence."""
    found = {event["event_id"]: event for event in documents(history, "ecom.email_campaign_raw")}
    for event in documents(history, "new_mktg.email_mktg_raw"):
        found[event["EventID"]] = {
            "event_id": event["EventID"],
            "campaign_id": "".join(event["campaign_id"].split()),
            "event_date": event["eventDate"],
            "event_type": event["eventType"].lower(),
            "order_id": event["orderId"],
        }
    return found


@pytest.fixture(scope="module")
def conversions(events: dict[int, Document]) -> dict[str, Document]:
    """Return the earliest conversion of each order."""
    found: dict[str, Document] = {}
    for event in sorted(events.values(), key=lambda event: (when(event), event["event_id"])):
        if event["event_type"] == "conversion":
            found.setdefault(str(event["order_id"]), event)
    return found


def when(event: Document) -> datetime:
    return datetime.strptime(event["event_date"], "%d-%b-%Y %I.%M %p")


def test_every_event_appears_once_without_repeated_conversions(
    history: Project, events: dict[int, Document], conversions: dict[str, Document]
) -> None:
    dropped = {
        id_
        for id_, event in events.items()
        if event["event_type"] == "conversion" and conversions[str(event["order_id"])]["event_id"] != id_
    }
    assert dropped
    expected = {
        (str(id_), event["campaign_id"], event["event_type"], when(event))
        for id_, event in events.items()
        if id_ not in dropped
    }
    held = history.query("select event_id, campaign_id, event_type, event_date from dbt_prod.fct_campaign_events")
    assert len(held) == len(expected)
    assert set(held) == expected
    without_order = sum(event["order_id"] is None for event in events.values())
    assert without_order > 150_000
    assert history.query("select count(*) from dbt_prod.fct_campaign_events where sales_order_id is null") == [
        (without_order,)
    ]


def test_revenue_by_campaign_is_that_of_the_orders(
    history: Project, orders: dict[str, Document], conversions: dict[str, Document]
) -> None:
    expected: defaultdict[str | None, list[Decimal]] = defaultdict(list)
    for order_id, order in orders.items():
        campaign = conversions[order_id]["campaign_id"] if order_id in conversions else None
        expected[campaign].append(Decimal(order["SubTotal"]))
    held = history.query(
        "select campaign_id, count(*), sum(sub_total) from dbt_prod.int_sales_orders_with_campaign group by campaign_id"
    )
    assert {campaign: (count, revenue) for campaign, count, revenue in held} == {
        campaign: (len(totals), sum(totals)) for campaign, totals in expected.items()
    }
    assert len(expected) == 17


def test_segments_of_orders_are_those_of_their_customers_and_campaigns(
    history: Project, orders: dict[str, Document], conversions: dict[str, Document]
) -> None:
    countries = dict(history.query("select customerid::varchar, countryregion from adventure_db.customer_prod_db"))
    expected: Counter[tuple[str, ...]] = Counter()
    seen: set[str] = set()
    for order_id, order in sorted(orders.items(), key=lambda item: (item[1]["OrderDate"], item[0])):
        customer = str(order["CustomerID"])
        campaign = conversions.get(order_id)
        segment = campaign["campaign_id"].split("~")[0] if campaign else "none"
        loyalty = "repeat" if customer in seen else "first-time"
        channel = "online" if order["OnlineOrderFlag"] else "reseller"
        expected[countries[customer], channel, loyalty, segment] += 1
        seen.add(customer)
    held = history.query(
        "select country, channel, loyalty, campaign_segment, count(*)"
        " from dbt_prod.int_sales_order_with_customers group by all"
    )
    assert {tuple(row[:4]): row[4] for row in held} == expected


def test_lines_of_purchases_are_those_of_the_documents(history: Project) -> None:
    purchases = documents(history, "ecom.purchase_order_raw")
    held = history.query(
        "select count(*), count(distinct purchase_order_id), sum(order_qty), sum(line_total)"
        " from dbt_prod.stg_ecom__purchase_orders"
    )
    lines = [purchase["OrderDetails"] for purchase in purchases]
    assert held == [
        (
            8_845,
            4_012,
            sum(line["OrderQty"] for line in lines),
            sum(Decimal(line["LineTotal"]) for line in lines),
        )
    ]


def test_products_no_longer_sold_are_in_old_orders_and_not_among_those_sold(history: Project) -> None:
    assert history.query("select count(*), count(*) filter (is_sold) from dbt_prod.dim_products") == [(504, 406)]
    assert history.query("select count(*) from dbt_prod.stg_adventure_db__products") == [(406,)]
    [(no_longer_sold, unknown)] = history.query(
        "select count(*) filter (not is_sold), count(*) filter (is_sold is null)"
        " from dbt_prod.fct_sales_order_lines left join dbt_prod.dim_products using (product_id)"
    )
    assert no_longer_sold > 0
    assert unknown == 0


def test_only_the_two_known_vendors_cause_a_warning(history: Project) -> None:
    warned = {name for name, status in history.statuses.items() if status == "warn"}
    assert warned == {"preferred_vendors_credit_check"}
