"""The band of expected orders finds a planted day and the segment that explains it, and leaves normal days alone."""

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from adventure.dashboard.sales import notes
from adventure.dashboard.sales.scope import Scope
from adventure.demo.catalogue import TERRITORIES
from adventure.demo.generator.orders import OrderMaker
from adventure.demo.generator.plan import Plan
from adventure.demo.run import BACKFILL_DAYS
from tests.dbt.conftest import Project, new_project, order, today

SHARES = {"United States": 0.4, "Australia": 0.25, "Canada": 0.2, "France": 0.15}
WEEK = (1.0, 1.05, 1.1, 1.1, 1.2, 0.8, 0.6)
DAYS = 150

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    project = new_project(tmp_path_factory.mktemp("bands"), dbt_folder)
    project.load(orders=[order("a")])
    project.build_models("--select", "+order_bands_by_day")
    return project


def sell(
    project: Project,
    seed: int,
    mean: float,
    growth: float,
    *,
    planted: dict[str, tuple[date, float]] | None = None,
    lasts: int = 1,
) -> None:
    """Replace the hours by random ones with a week's course, a growth a day, and perhaps unusual days of countries."""
    random = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    for ago in range(DAYS, -1, -1):
        day = today() - timedelta(days=ago)
        for country, share in SHARES.items():
            expected = mean * share * WEEK[day.weekday()] * (1 + growth) ** -ago
            unusual_day, factor = (planted or {}).get(country, (None, 1.0))
            if unusual_day and 0 <= (day.date() - unusual_day).days < lasts:
                expected *= factor
            rows += [
                (day + timedelta(hours=12), country, channel, int(random.poisson(expected * part)))
                for channel, part in (("online", 0.75), ("reseller", 0.25))
            ]
    _replace_hours(project, rows)


def _replace_hours(project: Project, rows: list[tuple[Any, ...]]) -> None:
    """Replace the hours by these: time, country, channel, orders."""
    hours = pd.DataFrame(rows, columns=["order_hour", "country", "channel", "orders"])
    with duckdb.connect(str(project.path)) as connection:
        connection.register("hours", hours)
        connection.execute("delete from dbt_prod.sales_by_hour")
        connection.execute(
            "insert into dbt_prod.sales_by_hour"
            " select order_hour, country, channel, 'repeat', 'none', orders, 1, 1, now()::timestamp from hours"
        )
    project.dbt("run", "--select", "order_bands_by_day")


def unusual(project: Project, days: int = 90, **filters: Any) -> list[notes.UnusualDay]:
    def query(statement: str, values: Any) -> Any:
        with duckdb.connect(str(project.path), read_only=True) as connection:
            connection.execute("set schema = 'dbt_prod'")
            return connection.execute(statement, values).df()

    return notes.unusual_days(query, Scope(today().date() - timedelta(days=days), today().date(), **filters))


def test_ninety_normal_days_have_at_most_one_false_alarm(project: Project) -> None:
    sell(project, seed=2, mean=120, growth=0.003)
    assert len(unusual(project)) <= 1
    [(days, last)] = project.query(
        "select count(*), max(order_day) from dbt_prod.order_bands_by_day where dimension = 'all'"
    )
    assert days == DAYS - 28, "each finished day with four weeks before it"
    assert last == today().date() - timedelta(days=1)


def test_the_days_after_a_campaign_of_one_week_are_normal(project: Project) -> None:
    """It raises neither the level nor the band of the weeks after it."""
    begins = today().date() - timedelta(days=21)
    sell(project, 3, 120, 0.001, planted=dict.fromkeys(SHARES, (begins, 1.6)), lasts=7)
    found = [each.day for each in unusual(project)]
    campaign = [day for day in found if begins <= day < begins + timedelta(days=7)]
    assert len(campaign) >= 4
    assert len(found) - len(campaign) <= 1, found


def test_planted_days_are_found_with_the_country_that_explains_them(project: Project) -> None:
    """One of them is a Sunday, on which fewer than ten orders are expected."""
    first = today().date() - timedelta(days=15)
    planted = {
        "United States": (today().date() - timedelta(days=20), 0.0),
        "France": (first + timedelta(days=6 - first.weekday()), 8.0),
    }
    sell(project, 7, 120, 0.001, planted=planted)
    for segment, (day, factor) in planted.items():
        [found] = [each for each in unusual(project) if each.day == day]
        assert segment in notes.sentence(found), "the country, alone or as what explains the day"
        assert (found.orders > found.high) == (factor > 1)
        assert day in [each.day for each in unusual(project, countries=(segment,))]
        assert day not in [each.day for each in unusual(project, countries=("Australia",))]
    assert not unusual(project, countries=("France", "Canada")), "a band of several segments is not known"


def test_the_unusual_days_of_the_demo_are_those_of_its_story(project: Project) -> None:
    """Some days of the clothing campaign, and both days of the outage with the country that explains them."""
    first, now = today() - timedelta(days=BACKFILL_DAYS - 1), today() + timedelta(hours=18)
    plan = Plan(first.date(), today=now.date())
    maker = OrderMaker(1, 1, first.date(), plan)
    countries = {territory.territory_id: territory.country for territory in TERRITORIES}
    sold = Counter[tuple[datetime, str, str]]()
    for moment in plan.draw(maker.rng, first, now, 6_000):
        sale = maker.make(moment, moment)
        sold[moment, countries[sale.territory_id], "online" if sale.is_online else "reseller"] += 1
    _replace_hours(project, [(*key, orders) for key, orders in sold.items()])
    found = unusual(project)
    outage = [each for each in found if plan.is_outage(each.day)]
    assert len(outage) == 2
    assert all("Australia" in notes.sentence(each) for each in outage)
    campaign = [each for each in found if plan.is_campaign(each.day)]
    assert len(campaign) >= 2
    assert all(each.orders > each.high for each in campaign)
    assert len(found) - len(outage) - len(campaign) <= 1, found
