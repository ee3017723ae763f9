"""The digest has the figures of the sources, escapes every value, and needs no script and no other host."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from adventure.dashboard.sales.digest import digest, title
from adventure.destinations.published import Query
from tests.dashboard.conftest import COUNTRIES, HOSTILE, Shop


def cells(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading."""
    [table] = re.findall(rf"<h2>{heading}[^<]*</h2><table[^>]*>(.*?)</table>", page)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]


@pytest.mark.slow
def test_the_digest_adds_up_yesterday(ask: Query, shop: Shop, now: datetime) -> None:
    page = digest(ask, now, f"{HOSTILE} concerns")
    yesterday = now.date() - timedelta(days=1)
    orders = [order for order in shop.orders() if order.order_date.date() == yesterday]
    sums: dict[str, Decimal] = {}
    for order in orders:
        country = COUNTRIES[order.territory_id]
        sums[country] = sums.get(country, Decimal(0)) + order.sub_total
    shown = cells(page, "Countries, yesterday")
    assert [amount for _, amount, _ in shown] == [f"${value:,.0f}" for value in sorted(sums.values(), reverse=True)]
    [row] = [row for row in cells(page, "To date") if row[0] == "Yesterday"]
    assert (row[1], row[-2]) == (f"${sum(sums.values()):,.0f}", f"{len(orders):,}")
    assert f"<h1>{title(now)}</h1>" in page
    assert "<script" not in page
    assert "http" not in page.replace("http://b", ""), "the page asks no other host"


@pytest.mark.slow
def test_the_digest_compares_with_last_year_once_there_is_one(ask: Query, now: datetime) -> None:
    assert "In a year" not in digest(ask, now, "")
    assert "In a year" in digest(ask, datetime(2014, 6, 30, 12), "")


@pytest.mark.slow
def test_the_digest_after_a_pause_over_new_year(ask: Query, now: datetime) -> None:
    page = digest(ask, datetime(now.year + 1, 2, 3, 9), "")
    assert "No sales were read." in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "Name a file with --output, or add --send"), (["--send"], "ALERT_URLS is not set")],
)
def test_the_command_says_where_the_digest_can_go(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["digest", *arguments], env={"DATA_DIR": str(tmp_path), "ALERT_URLS": ""})
    assert result.exit_code != 0
    assert said in f"{result.output} {result.exception}"
