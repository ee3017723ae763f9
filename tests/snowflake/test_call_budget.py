"""Count the account calls of a load and its cleanup over a long backlog. Each call costs the warehouse's time."""

import pytest

from adventure.core.manifest import REPLACES
from adventure.core.streams import READ_AT, ROW_NUMBER
from tests.snowflake.model.backlog import Backlog
from tests.snowflake.model.rights import Rights
from tests.snowflake.model.tasks import Tasks, procedure
from tests.snowflake.test_account_model import account_of_an_administrator, deploy, full

WINDOWS = 10_000
CALLS_A_WINDOW = 0.05
WHOLE_WINDOWS, CALLS_A_WHOLE_WINDOW = 200, 7.5


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


def test_a_window_that_marks_the_missing_keys_takes_few_calls(deployed: Rights) -> None:
    """Each is a transaction of its own. They are rare: a table is read whole after TRUNCATE, or a lost slot."""
    backlog = Backlog(WHOLE_WINDOWS, mode=f"log, {REPLACES}")
    tasks = Tasks(deployed, [backlog], procedure())
    tasks.refresh("ADVENTURE.RAW_EXT.ORDERS_STAGE")
    runs = tasks.run_graph(tasks.task("ADVENTURE.RAW_EXT.LOAD_ORDERS"))
    assert [run.state for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    assert (len(backlog.ledger), backlog.staged) == (2 * WHOLE_WINDOWS, {}), "rows, and what is gone"
    assert tasks.calls <= WHOLE_WINDOWS * CALLS_A_WHOLE_WINDOW


def test_windows_that_replace_a_table_without_a_key_are_loaded_together() -> None:
    backlog = Backlog(WINDOWS, mode=f"snapshot, {REPLACES}")
    stream = ("orders", "columns", "orders_stage", "raw_ext.orders_raw", [ROW_NUMBER], READ_AT)
    assert procedure()(backlog, "load", *stream) == f"{WINDOWS} rows, {WINDOWS} files"
    assert backlog.calls <= WINDOWS * CALLS_A_WINDOW
