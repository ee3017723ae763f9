"""What Snowflake says no with, by its own numbers and texts, becomes one sentence that names what to do."""

import re
from pathlib import Path

import pytest
from snowflake.connector.errors import DatabaseError, OperationalError, ProgrammingError

from adventure.connect_snowflake import connect_snowflake, snowflake_error
from adventure.errors import CreditBudgetReached, StageUnwritable, WarehouseRefused, WarehouseUnavailable
from adventure.settings import Settings, load_settings
from adventure.stage import open_stage
from adventure.warehouse import open_warehouse
from tests.snowflake import account
from tests.warehouse.conftest import STREAM

ACCOUNT = load_settings(warehouse="snowflake", snowflake_account="acme-sales")
QUOTA = (
    "Warehouse 'ADVENTURE_WH' cannot be resumed because resource monitor 'ADVENTURE_MONITOR' has exceeded its quota."
)
NO_WAREHOUSE = (
    "No active warehouse selected in the current session. Select an active warehouse with the 'use warehouse' command."
)
NO_STAGE = "SQL access control error: Insufficient privileges to operate on stage 'ORDERS_STAGE'"


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (OperationalError(msg="250001: Could not connect to Snowflake backend", errno=250001), WarehouseUnavailable,
         "does not answer.*Check SNOWFLAKE_ACCOUNT"),
        (DatabaseError(msg="Failed to connect to DB: acme.snowflakecomputing.com:443. JWT token is invalid.",
                       errno=250001), WarehouseRefused, "alter user ADVENTURE_PROCESSOR set rsa_public_key"),
        (ProgrammingError(msg=NO_STAGE, errno=3001), WarehouseRefused,
         "grant read, write on stage ORDERS_STAGE to role ADVENTURE_LOADER"),
        (ProgrammingError(msg=NO_WAREHOUSE, errno=606), WarehouseRefused,
         "grant usage on warehouse ADVENTURE_WH to role ADVENTURE_LOADER"),
        (ProgrammingError(msg=QUOTA, errno=90073), WarehouseRefused, "raise credit_quota of the resource monitor"),
        (ProgrammingError(msg="Table 'ORDERS_RAW' does not exist or not authorized.", errno=2003), WarehouseRefused,
         "ORDERS_RAW.*adventure snowflake deploy"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(error: Exception, kind: type[Exception], sentence: str) -> None:
    found = snowflake_error(error, ACCOUNT)
    assert type(found) is kind
    assert "acme-sales" in str(found)
    assert re.search(sentence, str(found))


@pytest.fixture
def used_up(snowflake_settings: Settings) -> Settings:
    """An account whose monitor has counted as many credits as CREDIT_BUDGET allows."""
    account.create_tables(snowflake_settings)
    with connect_snowflake(snowflake_settings) as connection:
        connection.cursor().execute("update account.resource_monitors set used_credits = 5")
    return snowflake_settings.model_copy(update={"credit_budget": 5.0})


def test_at_the_budget_nothing_is_run_that_needs_the_warehouse(used_up: Settings) -> None:
    warehouse = open_warehouse(used_up)
    for job in (lambda: warehouse.load(STREAM), lambda: warehouse.totals([]), lambda: warehouse.build()):
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


def test_a_stage_that_does_not_exist_is_named(snowflake_settings: Settings) -> None:
    with pytest.raises(StageUnwritable, match=r"(?i)absent_stage"):
        open_stage(snowflake_settings).entries("absent_stage")


def test_every_statement_is_tagged(snowflake_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from snowflake.connector.cursor import SnowflakeCursor

    account.create_tables(snowflake_settings)
    tags: list[str] = []
    execute = SnowflakeCursor.execute

    def told(self: SnowflakeCursor, command: str, *values: object, **options: object) -> object:
        tags.append((options.get("_statement_params") or {}).get("QUERY_TAG", f"untagged: {command}"))  # type: ignore[attr-defined]
        return execute(self, command, *values, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(SnowflakeCursor, "execute", told)
    open_stage(snowflake_settings).entries("orders_stage")
    open_warehouse(snowflake_settings).totals([])
    assert tags[0] == "adventure:orders_stage"
    assert tags[1].startswith("adventure:query:")
