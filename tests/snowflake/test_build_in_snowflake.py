"""snowflake/build_in_snowflake.sql: its files, its rights, what makes a build due, and what is published after it.

The emulator has no dbt projects: EXECUTE DBT PROJECT itself has never been run.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from snowflake.connector import SnowflakeConnection

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.destinations.snowflake.one_role import deployment_as, teardown_as
from adventure.destinations.snowflake.scripts import names, split, teardown
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.warehouse import SnowflakeWarehouse
from tests.snowflake import account, scripting
from tests.snowflake.model.rights import Refused, Rights
from tests.snowflake.model.session import Session
from tests.snowflake.test_account_model import (
    READER,
    TRANSFORMER,
    account_of_a_class,
    account_of_an_administrator,
    deploy,
    full,
    one_role,
    state,
    work,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "snowflake" / "build_in_snowflake.sql"
STATEMENTS = list(split(SCRIPT.read_text(encoding="utf-8")))
TASKS = {found[1]: text for text in STATEMENTS if (found := re.match(r"create or replace task (\w+)", text))}
HISTORY = "table(information_schema.dbt_project_execution_history(object_name => 'MODELS'))"


def body(task: str) -> str:
    """What a task runs, without the comments before it."""
    return next(split(TASKS[task].partition("\nas\n")[2] + ";"))


def block() -> str:
    """The publication's block."""
    (found,) = re.findall(r"\$\$\n(.*)\$\$", TASKS["publish"], re.DOTALL)
    return str(found)


def names_of(role: str = "") -> list[str]:
    """The statements of 0_names.sql, with one role in the place of all."""
    found = names(load_settings())
    return deployment_as(role, found)[1:] if role else found


# --- the files


def test_every_file_of_the_dbt_project_is_uploaded_to_its_place() -> None:
    uploads = [found for text in STATEMENTS if (found := re.match(r"put 'file://(\S+)' @project_files(\S*) ", text))]
    placed = {f"{found[2]}/{path.name}": path for found in uploads for path in ROOT.glob(found[1])}
    project = {path for path in (ROOT / "dbt").rglob("*") if path.suffix in (".sql", ".yml", ".csv", ".md")}
    ours = {path for path in project if not {"target", "logs"} & set(path.relative_to(ROOT / "dbt").parts)}
    wanted = {f"/{path.relative_to(ROOT / 'dbt').as_posix()}": path for path in ours}
    assert placed == wanted | {"/profiles.yml": ROOT / "snowflake" / "dbt_profile" / "profiles.yml"}


def test_the_profile_has_the_names_of_the_files_and_reads_no_variable() -> None:
    text = (ROOT / "snowflake" / "dbt_profile" / "profiles.yml").read_text(encoding="utf-8")
    assert "{{" not in text
    project = yaml.safe_load((ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
    profile = yaml.safe_load(text)[project["profile"]]
    target = profile["outputs"][profile["target"]]
    given = dict(re.findall(r"set (\w+) = '([^']*)'", ";".join(names(load_settings()))))
    for key, name in {"database": "database_name", "warehouse": "warehouse_name", "role": "transformer_role"}.items():
        assert target[key] == given[name]
    laptop = yaml.safe_load((ROOT / "dbt" / "profiles.yml").read_text(encoding="utf-8"))["adventure_snowflake"]
    assert (target["type"], target["schema"]) == ("snowflake", laptop["outputs"]["prod"]["schema"])


def test_the_version_of_dbt_is_one_that_the_project_takes() -> None:
    project = yaml.safe_load((ROOT / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))
    assert project["require-dbt-version"] == [">=1.11.0", "<1.12.0"]
    assert re.search(r"dbt_version = '1\.11\.\d+'", SCRIPT.read_text(encoding="utf-8"))


def test_the_project_is_executed_with_a_target_and_a_selector_that_exist() -> None:
    (arguments,) = re.findall(r"execute dbt project models args = '(.*)'", SCRIPT.read_text(encoding="utf-8"))
    assert arguments == "build --target prod --selector whole"
    selectors = yaml.safe_load((ROOT / "dbt" / "selectors.yml").read_text(encoding="utf-8"))["selectors"]
    assert "whole" in {each["name"] for each in selectors}


def test_the_build_waits_for_the_plan_and_the_publication_for_the_build() -> None:
    after = {name: re.findall(r"\n    after (\w+)", text) for name, text in TASKS.items()}
    assert after == {"plan_build": [], "build": ["plan_build"], "publish": ["build"]}
    resumed = [found[1] for text in STATEMENTS if (found := re.fullmatch(r"alter task (\w+) resume", text))]
    assert resumed == ["publish", "build", "plan_build"]
    assert "when system$stream_has_data('loads')" in TASKS["plan_build"]
    # Only a statement that writes moves a stream.
    assert body("plan_build").startswith("insert into seen_loads select file from loads")


# --- the rights


def run_tasks(rights: Rights) -> None:
    """What the tasks run, as their owner."""
    owner = rights.things["TASK", "ADVENTURE.DBT_PROJECT.BUILD"].owner
    rights.users["TASK"] = {owner}
    session = Session(rights, "TASK", owner, database="ADVENTURE", schema="DBT_PROJECT")
    session.warehouse = "ADVENTURE_WH"
    session.run(body("plan_build"))
    session.run(body("build"))
    for statement in [text for text in TRANSFORMER if text.startswith(("create schema", "create or replace"))]:
        session.run(statement)
    session.run("create or replace transient table dashboard.sales clone dbt_prod.sales")
    for statement in published():
        session.run(re.sub(r"(?<!:):\w+", "null", statement))
    rights.users.pop("TASK")


def published() -> list[str]:
    """The statements of the publication that are no loop."""
    found = [text for text in split(block()) if text.startswith(("create or replace table", "insert into"))]
    assert len(found) == 2
    return found


def test_the_transformers_role_owns_and_runs_all_of_it() -> None:
    rights = account_of_an_administrator()
    before = state(rights)
    deploy(rights, full())
    for _ in range(2):
        deploy(rights, [*names_of(), *STATEMENTS])
        run_tasks(rights)
    made = {each.owner for (_, name), each in rights.things.items() if name.startswith("ADVENTURE.DBT_PROJECT")}
    assert made == {"ADVENTURE_TRANSFORMER"}
    rights.users["READER"] = {"ADVENTURE_READER"}
    work(rights, "READER", "ADVENTURE_READER", READER)
    # What was built from a laptop, and is built again in the account, has the same owner.
    work(rights, "ADVENTURE_DBT", "ADVENTURE_TRANSFORMER", TRANSFORMER)
    del rights.users["READER"]
    deploy(rights, teardown(load_settings()))
    assert state(rights) == before


def test_one_role_runs_it_without_the_first_two_statements() -> None:
    rights = account_of_a_class()
    deploy(rights, one_role(), "STUDENT", "CLASS_ROLE")
    deploy(rights, [*names_of("class_role"), *STATEMENTS[2:]], "STUDENT", "CLASS_ROLE")
    run_tasks(rights)
    deploy(rights, teardown_as("class_role", names(load_settings())), "STUDENT", "CLASS_ROLE")
    assert not [name for _, name in rights.things if ".DBT_PROJECT" in name]


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ("grant execute task", "ADVENTURE_TRANSFORMER lacks EXECUTE TASK on the account"),
        ("alter table", "may not begin to track the changes of ADVENTURE.RAW_EXT.LOAD_HISTORY"),
        ("create or replace stage", r"STAGE ADVENTURE.DBT_PROJECT.PROJECT_FILES does not exist"),
    ],
)
def test_a_file_that_lacks_a_statement_is_refused(left_out: str, told: str) -> None:
    rights = account_of_an_administrator()
    deploy(rights, full())
    kept = [text for text in STATEMENTS if not text.startswith(left_out)]
    assert len(kept) == len(STATEMENTS) - 1
    with pytest.raises(Refused, match=told):
        deploy(rights, [*names_of(), *kept])


# --- the publication


@pytest.fixture
def built(snowflake_settings: Settings) -> Iterator[SnowflakeConnection]:
    """A mart that was published before, one that never was, and a build that made both again."""
    account.create_tables(snowflake_settings)
    account.deploy_dashboard(snowflake_settings)
    with connect_snowflake(snowflake_settings) as connection:
        for statement in (
            "create schema if not exists dbt_prod",
            "create table dashboard.sales_by_hour as select 1 as orders",
            "create table dbt_prod.sales_by_hour as select 2 as orders",
            "create table dbt_prod.stg_ecom__sales_orders as select 3 as orders",
            "insert into raw_ext.load_history values ('orders', 'orders_stage', 'w', 'f', 'data', 1, 1, 'x', null,"
            " '2026-01-02', '2026-01-02', 'horizon', 'r', '2026-01-02', '2026-01-02')",
        ):
            connection.cursor().execute(statement)
        yield connection


def publish(connection: SnowflakeConnection, outcome: str) -> None:
    ran = f"(select '{outcome}' as state, '2026-01-02 03:30:00'::timestamp_tz as query_start_time,"
    ran += " current_database() as database_name, 'DBT_PROJECT' as schema_name)"
    assert HISTORY in block()
    scripting.run_block(connection, block().replace(HISTORY, ran))


def ask(connection: SnowflakeConnection, query: str) -> list[tuple[Any, ...]]:
    return list(connection.cursor().execute(query).fetchall())


def test_what_was_published_is_published_again(built: SnowflakeConnection, snowflake_settings: Settings) -> None:
    publish(built, "SUCCESS")
    assert ask(built, "select orders from dashboard.sales_by_hour") == [(2,)]
    tables = ask(built, "select table_name from information_schema.tables where table_schema = 'DASHBOARD'")
    assert ("STG_ECOM__SALES_ORDERS",) not in tables
    ((at, as_of),) = ask(built, "select built_at, data_as_of from dashboard.publication")
    assert (at is not None, str(as_of)) == (True, "2026-01-02 00:00:00")
    warehouse = SnowflakeWarehouse(snowflake_settings)
    runs = {run.name: run for run in warehouse.last_runs()}
    assert {name: run.outcome for name, run in runs.items()} == {"build": "succeeded", "publish": "succeeded"}
    assert str(runs["build"].started_at) == "2026-01-02 03:30:00"
    assert not warehouse.publish_is_due()


def test_a_failed_build_is_not_published(built: SnowflakeConnection) -> None:
    with pytest.raises(scripting.Raised, match="build_failed"):
        publish(built, "HANDLED_ERROR")
    assert ask(built, "select orders from dashboard.sales_by_hour") == [(1,)]
    assert ask(built, "select count(*) from dashboard.publication") == [(0,)]
    assert ask(built, "select count(*) from raw_ext.task_history") == [(0,)]


def test_a_failed_task_of_the_account_is_a_failed_build(snowflake_settings: Settings) -> None:
    account.create_tables(snowflake_settings)
    account.add_failed_run(snowflake_settings, "build", schema="DBT_PROJECT", message="a test failed")
    account.add_failed_run(snowflake_settings, "another", schema="SOMEBODYS", message="not ours")
    (run,) = SnowflakeWarehouse(snowflake_settings).last_runs()
    assert (run.name, run.outcome, run.message) == ("build", "failed", "a test failed")
