"""What `adventure status` says of credits: the monitor's month, and what the account's metering attributes to tasks."""

from datetime import UTC, datetime, timedelta

import pytest

from adventure.core.settings import Settings
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.warehouse import Costs, TaskCost
from adventure.factory import open_warehouse
from tests.snowflake import account

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def meter(settings: Settings, *rows: tuple[str, str | None, str, datetime, float]) -> None:
    """Query, the query that called it, its tag, its beginning and its credits."""
    with connect_snowflake(settings) as connection, connection.cursor() as cursor:
        for row in rows:
            cursor.execute(
                "insert into account.query_attribution_history select ?, ?, ?, cast(? as timestamp), ?",
                [*row[:3], str(row[3]), row[4]],
            )


@pytest.fixture
def metered(snowflake_settings: Settings) -> Settings:
    account.create_tables(snowflake_settings)
    return snowflake_settings


def test_without_metering_the_monitor_alone_is_told(metered: Settings) -> None:
    assert open_warehouse(metered).costs() == Costs(0.25, None, 20.0, [])


def test_a_run_is_a_call_with_all_that_it_calls_or_what_a_command_tagged(metered: Settings) -> None:
    hour = timedelta(hours=1) if NOW.day > 1 else timedelta(seconds=1)
    meter(
        metered,
        ("call-1", None, "adventure:load_orders", NOW - hour, 0.125),
        ("copy-1", "call-1", "adventure:load_orders", NOW - hour, 0.25),
        ("call-2", None, "adventure:load_orders", NOW, 0.5),
        ("a", None, "adventure:build:run7", NOW - hour, 1.0),
        ("b", None, "adventure:build:run7", NOW, 2.0),
        ("other", None, "somebody else's", NOW, 64.0),
        ("untagged", None, "", NOW, 64.0),
        ("last month", None, "adventure:load_orders", NOW.replace(day=1) - timedelta(days=1), 64.0),
    )
    costs = open_warehouse(metered).costs()
    assert costs is not None
    assert costs.tasks == [
        TaskCost("build", 1, 3.0, NOW - hour, 3.0),
        TaskCost("load_orders", 2, 0.875, NOW, 0.5),
    ]


def test_the_budget_stands_beside_the_quota(metered: Settings) -> None:
    costs = open_warehouse(metered.model_copy(update={"credit_budget": 5.0})).costs()
    assert (costs and (costs.used, costs.budget, costs.quota)) == (0.25, 5.0, 20.0)
