"""The credits that `adventure status` shows: the monitor's count of this month, the budget and the quota."""

import pytest

from adventure.core.settings import Settings
from adventure.destinations.results import Credits
from adventure.factory import open_warehouse
from tests.snowflake import account


@pytest.mark.parametrize("budget", [None, 5.0])
def test_the_budget_is_beside_the_monitors_count_and_quota(snowflake_settings: Settings, budget: float | None) -> None:
    account.create_tables(snowflake_settings)
    warehouse = open_warehouse(snowflake_settings.model_copy(update={"credit_budget": budget}))
    assert warehouse.credits() == Credits(0.25, budget, 20.0)
