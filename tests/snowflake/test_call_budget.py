"""Count the account calls of a load and its cleanup over a long backlog. Each call costs the warehouse's time."""

import pytest

from tests.snowflake.model.backlog import Backlog
from tests.snowflake.model.rights import Rights
from tests.snowflake.model.tasks import Tasks, procedure
from tests.snowflake.test_account_model import account_of_an_administrator, deploy, full

WINDOWS = 10_000
CALLS_A_WINDOW = 0.05


@pytest.fixture(scope="module")
def deployed() -> Rights:
    rights = account_of_an_administrator()
    deploy(rights, full())
    return rights


@pytest.mark.parametrize("deletes", [False, True], ids=["rows", "rows and deletes"])
def test_load_and_cleanup_of_a_long_backlog_take_few_calls_together(deployed: Rights, deletes: bool) -> None:
    backlog = Backlog(WINDOWS, deletes=deletes)
    tasks = Tasks(deployed, [backlog], procedure())
    tasks.refresh("ADVENTURE.RAW_EXT.ORDERS_STAGE")
    runs = tasks.run_graph(tasks.task("ADVENTURE.RAW_EXT.LOAD_ORDERS"))
    assert [run.state for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    assert (len(backlog.ledger), backlog.staged) == (WINDOWS * (1 + deletes), {})
    assert tasks.calls <= WINDOWS * CALLS_A_WINDOW
