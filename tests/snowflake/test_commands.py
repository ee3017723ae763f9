"""The commands with WAREHOUSE=snowflake, as a user types them. What dbt builds is test_dbt.py's."""

import psycopg
import pytest
from typer.testing import CliRunner, Result

from adventure import cli
from adventure.core.settings import Settings
from adventure.destinations.results import LoadResult
from adventure.destinations.snowflake import account_tasks, warehouse
from adventure.destinations.snowflake.one_role import OWN_SCHEMAS
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.monitoring.checks.sales import ATTRIBUTES, COLUMNS
from adventure.tasks import graph as tasks
from tests.snowflake import account

pytestmark = pytest.mark.slow

MODELS = {
    "stg_ecom__sales_orders": [*COLUMNS, "order_details", "order_date", "sales_order_id", "_file"],
    "base_ecom__sales_orders": ["order_date", "order_details", "sales_order_id"],
    "base_real_time__sales_orders": ["order_date", "sales_order_id", "_deleted_at", "last_modified"],
    "base_real_time__order_details": ["sales_order_id", "sales_order_detail_id", "_deleted_at", "last_modified"],
    "stg_real_time__chat_logs": ["_id", "chat_id", "_deleted_at", "last_modified"],
    "int_sales_order_with_customers": ["order_date", "sales_order_id"],
    "int_sales_order_line_items": [*ATTRIBUTES, "order_date", "sales_order_id"],
    "fct_sales_order_lines": ["order_date"],
}
"""The models that are asked, with the columns that are: empty, since nothing is built here."""


def _kind(column: str) -> str:
    if column.endswith(("date", "_modified", "_at")):
        return "timestamp_ntz"
    return "variant" if column == "order_details" else "varchar"


@pytest.fixture
def pipeline(settings: Settings, snowflake_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two orders at the source, nothing staged, and a build that builds nothing."""
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    monkeypatch.setattr(warehouse, "run_dbt_build", lambda *_, target, **__: f"built {target}")
    monkeypatch.setattr(tasks, "_publish", lambda *_: (LoadResult(), ""))
    made = account.with_sources(snowflake_settings, settings)
    account.create_tables(made)
    with psycopg.connect(settings.postgres_dsn.replace("adventure_reader", "sales_app"), autocommit=True) as source:
        source.execute(
            "insert into orders (sales_order_id, last_modified)"
            " select gen_random_uuid(), now() at time zone 'utc' from generate_series(1, 2)"
        )
    return made


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200", **account.environment(settings)})


def lines(result: Result) -> list[str]:
    """What was printed, each line with single blanks."""
    return [" ".join(line.split()) for line in result.output.splitlines() if line.strip()]


def test_processed_windows_wait_are_loaded_by_the_accounts_tasks_and_reported(pipeline: Settings) -> None:
    assert run(pipeline, "process").exit_code == 0
    (orders,) = [line for line in lines(run(pipeline, "status")) if line.startswith("orders ")]
    assert " horizon 1 1 0 never " in orders, "one window staged, one waiting, no row loaded"

    done = run(pipeline, "tasks", "run", "load_orders")
    assert done.exit_code == 0, done.output
    told = run(pipeline, "status")
    (orders,) = [line for line in lines(told) if line.startswith("orders ")]
    assert " horizon 0 0 2 " in orders, "none staged, two rows loaded"
    for task in ("load_orders", "cleanup_orders", "build"):
        assert any(line.startswith(f"{task} succeeded") for line in lines(told)), told.output
    assert "0.25" in told.output, "what the monitor has counted"


def test_a_load_that_the_account_skips_is_reported_as_not_run(pipeline: Settings) -> None:
    account.skip(pipeline, 1)
    done = run(pipeline, "tasks", "run", "load_orders")
    assert done.exit_code == 0, done.output
    for task in ("load_orders", "cleanup_orders"):
        (line,) = [line for line in lines(done) if line.startswith(f"{task} ")]
        assert line.startswith(f"{task} skipped")
        assert "not run: nothing is staged" in line


def test_build_builds_the_target_and_records_it(pipeline: Settings) -> None:
    done = run(pipeline.model_copy(update={"snowflake_dbt_target": "dev"}), "build")
    assert done.exit_code == 0, done.output
    assert "built dev" in done.output
    with connect_snowflake(pipeline) as connection:
        recorded = connection.cursor().execute("select task, outcome from raw_ext.task_history").fetchall()
    assert ("build", "succeeded") in recorded


def test_a_task_that_fails_is_named_with_exit_code_1(pipeline: Settings) -> None:
    run(pipeline, "process")
    with connect_snowflake(pipeline) as connection:
        connection.cursor().execute("alter table raw_ext.orders_raw drop column last_modified")
        connection.cursor().execute("alter table raw_ext.orders_raw add column last_modified varchar")
    done = run(pipeline, "tasks", "run", "load_orders")
    assert done.exit_code == 1
    text = " ".join(lines(done)) + str(done.exception)
    assert "column LAST_MODIFIED is staged as" in text
    status = run(pipeline, "status", "--check")
    assert "load_orders" in status.output


def test_check_asks_the_source_and_snowflake_in_its_own_dialect(pipeline: Settings) -> None:
    run(pipeline, "process")
    run(pipeline, "tasks", "run", "load_orders")
    with connect_snowflake(pipeline) as connection:
        for model, columns in MODELS.items():
            described = ", ".join(f"{name} {_kind(name)}" for name in dict.fromkeys(columns))
            connection.cursor().execute(f"create table dbt_prod.{model} ({described})")
        copied = ("sales_order_id", "order_date", "last_modified", "_deleted_at")
        connection.cursor().execute(
            f"insert into dbt_prod.base_real_time__sales_orders ({', '.join(copied)})"
            f" select {', '.join(copied)} from raw_ext.orders_raw"
        )
    done = run(pipeline, "check")
    flow = [line for line in lines(done) if " = " in line or "loaded files left" in line]
    assert len(flow) == 9
    # Streams without a row show nothing, and say so.
    empty = [line for line in flow if not line.endswith(" holds")]
    assert empty == [
        f"{name}: raw keys = source rows 0 0: nothing was compared not judged"
        for name in ("order_details", "chat_logs")
    ], done.output
    assert "orders: raw keys = source rows 2 2 holds" in flow
    assert "orders: base_real_time__sales_orders = raw keys 2 2 holds" in flow
    # What nobody built lacks rows: the sales' statement says so too.
    (staging,) = [line for line in lines(done) if line.startswith("orders: staging ")]
    assert staging.endswith(" some 0 does not hold")
    assert done.exit_code == 1


def test_reconcile_finds_what_is_missing_and_repairs_it(pipeline: Settings) -> None:
    run(pipeline, "process")
    run(pipeline, "tasks", "run", "load_orders")
    with connect_snowflake(pipeline) as connection:
        connection.cursor().execute(
            "delete from raw_ext.orders_raw where sales_order_id = (select max(sales_order_id) from raw_ext.orders_raw)"
        )
    found = run(pipeline, "reconcile", "orders")
    assert found.exit_code == 1, found.output
    repaired = run(pipeline, "reconcile", "orders", "--repair")
    assert repaired.exit_code == 0, repaired.output
    assert run(pipeline, "tasks", "run", "load_orders").exit_code == 0
    again = run(pipeline, "reconcile", "orders")
    assert again.exit_code == 0, again.output


def test_deploy_says_each_statement_and_makes_what_the_other_commands_need(
    settings: Settings, snowflake_settings: Settings
) -> None:
    made = account.with_sources(snowflake_settings, settings)
    script = run(made, "snowflake", "deploy", "--dry-run")
    assert run(made, "process").exit_code == 1, "nothing is deployed"
    deployed = run(made, "snowflake", "deploy")
    assert deployed.exit_code == 0, deployed.output
    assert deployed.stdout == script.stdout
    account.make_stale(made, "ORDERS_STAGE_FILES")
    again = run(made, "snowflake", "deploy")
    assert again.exit_code == 0, again.output
    replaced = "create or replace stream raw_ext.ORDERS_STAGE_FILES on stage raw_ext.ORDERS_STAGE;"
    assert [line for line in again.stdout.splitlines() if line.startswith("create or replace stream")] == [replaced]
    assert run(made, "process").exit_code == 0
    assert run(made, "status").exit_code == 0


def test_deploy_with_one_role_makes_what_the_other_commands_need(
    settings: Settings, snowflake_settings: Settings
) -> None:
    made = account.with_sources(snowflake_settings, settings)
    script = run(made, "snowflake", "deploy", "--as", "class_role", "--dry-run")
    assert "If this is refused, the next statement is left out" in script.stdout
    deployed = run(made, "snowflake", "deploy", "--as", "class_role")
    assert deployed.exit_code == 0, deployed.output
    assert deployed.stdout == script.stdout, "the emulator lets everybody read the metering"
    assert run(made, "process").exit_code == 0
    assert run(made, "status").exit_code == 0
    destroyed = run(made, "snowflake", "destroy", "--as", "class_role", "--yes")
    assert destroyed.exit_code == 0, destroyed.output
    assert run(made, "snowflake", "destroy", "--as", "class_role", "--yes").exit_code == 0, "again"
    with connect_snowflake(made) as connection:
        rows = connection.cursor().execute("select table_schema from information_schema.tables").fetchall()
    # The emulator makes the schema that a session names.
    left = {schema.lower() for (schema,) in rows}
    assert "ecom" in left
    assert not left & set(OWN_SCHEMAS)


def test_destroy_asks_first(pipeline: Settings) -> None:
    asked = CliRunner().invoke(cli.app, ["snowflake", "destroy"], input="n\n", env=account.environment(pipeline))
    assert asked.exit_code == 1
    assert "with all its rows?" in asked.output
    with connect_snowflake(pipeline) as connection:
        assert connection.cursor().execute("select count(*) from raw_ext.orders_raw").fetchall() == [(0,)]
