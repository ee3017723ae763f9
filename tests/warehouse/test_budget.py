"""CREDIT_BUDGET: what is stopped when it is reached, what goes on, and that nothing is lost by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.cursor import SnowflakeCursor

from adventure.core.errors import CreditBudgetReached, TaskFailed, WarehouseRefused
from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.destinations.results import LoadResult
from adventure.destinations.snowflake import account_tasks
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.factory import open_stage, open_warehouse
from tests.snowflake import account
from tests.warehouse.conftest import STREAM, Stager, things


@pytest.fixture
def used_up(snowflake_settings: Settings) -> Settings:
    """An account whose monitor has counted as many credits as CREDIT_BUDGET allows."""
    account.create_tables(snowflake_settings, STREAM)
    with connect_snowflake(snowflake_settings) as connection:
        connection.cursor().execute("update account.resource_monitors set used_credits = 5")
    return snowflake_settings.model_copy(update={"credit_budget": 5.0})


def test_at_the_budget_nothing_is_run_that_needs_the_warehouse(used_up: Settings) -> None:
    warehouse = open_warehouse(used_up)
    for job in (lambda: warehouse.load(STREAM), lambda: warehouse.totals([]), lambda: warehouse.build([])):
        with pytest.raises(CreditBudgetReached, match="5 of 5 credits of this month are used by ADVENTURE_WH"):
            job()


def test_at_the_budget_staging_goes_on(used_up: Settings, tmp_path: Path) -> None:
    file = tmp_path / "part-00000.parquet"
    file.write_bytes(b"rows")
    stage = open_stage(used_up)
    stage.put("orders_stage", "w", file)
    assert [entry.path for entry in stage.entries("orders_stage")] == ["orders_stage/w/part-00000.parquet"]


def test_below_the_budget_all_goes_on(used_up: Settings) -> None:
    assert open_warehouse(used_up.model_copy(update={"credit_budget": 5.01})).totals([]) == {}


def test_a_monitor_that_may_not_be_seen_is_named_with_the_grant(used_up: Settings) -> None:
    blind = used_up.model_copy(update={"snowflake_monitor": "OTHER"})
    with pytest.raises(WarehouseRefused, match="grant monitor on resource monitor OTHER to role"):
        open_warehouse(blind).totals([])


@pytest.fixture
def settings(used_up: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """For the fixtures that stage windows."""
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    return used_up


@pytest.fixture
def stage(settings: Settings) -> Stage:
    return open_stage(settings)


@pytest.fixture
def refreshed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that tell a stage's directory of its files, and so wake the load."""
    told: list[str] = []
    execute: Callable[..., Any] = SnowflakeCursor.execute

    def executed(self: SnowflakeCursor, command: str, *values: object, **options: object) -> SnowflakeCursor:
        if "refresh" in command:
            told.append(command)
        return execute(self, command, *values, **options)

    monkeypatch.setattr(SnowflakeCursor, "execute", executed)
    return told


def test_what_is_staged_at_the_budget_wakes_no_load_and_is_loaded_when_there_is_one_again(
    settings: Settings, put: Stager, refreshed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    held = [put(things(1)), put(things(2))]
    assert refreshed == []
    assert "CREDIT_BUDGET is reached: 5 of 5 credits" in capsys.readouterr().out
    assert open_stage(settings).windows(STREAM.stage) == held

    raised = settings.model_copy(update={"credit_budget": 6.0})
    assert not open_stage(settings).announce(STREAM.stage), "the processor tries again in its next cycle"
    stage = open_stage(raised)
    assert stage.announce(STREAM.stage)
    assert refreshed == ['alter stage raw_ext."THINGS_STAGE" refresh'], "one refresh tells of the whole stage"
    warehouse = open_warehouse(raised)
    assert warehouse.load(STREAM) == LoadResult(2, 2)
    assert warehouse.loaded(held) == {window.id for window in held}
    warehouse.cleanup(STREAM)
    assert stage.entries(STREAM.stage) == []


def test_a_budget_that_is_reached_while_a_load_runs_ends_nothing_half_way(settings: Settings, put: Stager) -> None:
    """The account's own task goes on; what was asked of it afterwards is not answered, and asked again later."""
    put(things(1))
    raised = settings.model_copy(update={"credit_budget": 6.0})
    assert open_warehouse(raised).load(STREAM) == LoadResult(1, 1)
    with connect_snowflake(settings) as connection:
        connection.cursor().execute("update account.resource_monitors set used_credits = 6")
    with pytest.raises(CreditBudgetReached):
        open_warehouse(raised).totals([STREAM])
    more = open_warehouse(raised.model_copy(update={"credit_budget": 7.0}))
    assert more.totals([STREAM])["things"].rows == 1
    assert more.load(STREAM) == LoadResult()


def test_a_load_that_the_account_skips_is_run_again_after_a_refresh(
    settings: Settings, put: Stager, refreshed: list[str]
) -> None:
    put(things(1))
    account.skip(settings, 1)
    assert open_warehouse(settings.model_copy(update={"credit_budget": None})).load(STREAM) == LoadResult(1, 1)
    assert refreshed == ['alter stage raw_ext."THINGS_STAGE" refresh']


def test_a_load_that_the_account_skips_again_was_not_run(settings: Settings, put: Stager) -> None:
    put(things(1))
    account.skip(settings, 2)
    with pytest.raises(TaskFailed, match="skipped load_things, so that 1 staged windows were not loaded"):
        open_warehouse(settings.model_copy(update={"credit_budget": None})).load(STREAM)


def test_a_load_is_skipped_if_nothing_waits(settings: Settings, refreshed: list[str]) -> None:
    account.skip(settings, 1)
    warehouse = open_warehouse(settings.model_copy(update={"credit_budget": None}))
    assert warehouse.load(STREAM) == warehouse.cleanup(STREAM) == LoadResult(was_run=False)
    assert refreshed == []
