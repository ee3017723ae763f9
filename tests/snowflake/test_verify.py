"""`adventure snowflake verify`: its names, its steps against the emulator, and the report."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from adventure import cli
from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.pipeline_file import load_streams
from adventure.destinations.snowflake import account_tasks, verify_tasks
from adventure.destinations.snowflake import verify as module
from adventure.destinations.snowflake.account_tasks import AccountRun
from adventure.destinations.snowflake.scripts import one_file, split
from adventure.destinations.snowflake.verify import Scratch, Step, scratch_of, to_text, verify
from adventure.destinations.snowflake.verify_rows import QUERIES, ROWS
from adventure.destinations.snowflake.verify_tasks import HELD, OtherTasks
from tests.snowflake import account
from tests.snowflake.emulator import Emulator
from tests.snowflake.test_account_model import account_of_an_administrator, deploy, full, state
from tests.snowflake.typed.relations import Relations
from tests.snowflake.typed.sent import check_sent

STREAMS = load_streams(load_settings())
NAME = "ADVENTURE_VERIFY_TEST"
LOADS = ("load_orders", "load_order_details", "load_chat_logs")


def scratch(role: str = "", **changed: object) -> Scratch:
    settings = load_settings(snowflake_user="ADMIN", **changed)
    return scratch_of(settings, STREAMS, name=NAME, role=role, data_dir=Path("data"))


def test_nothing_of_an_existing_installation_is_touched() -> None:
    rights = account_of_an_administrator()
    deploy(rights, full())
    before, existing = state(rights), set(rights.things)
    deploy(rights, scratch().deploy)
    made = set(rights.things) - existing
    assert all(name.partition(".")[0].startswith(NAME) for _, name in made)
    for _ in range(2):
        deploy(rights, scratch().destroy)
        assert state(rights) == before


def test_one_role_makes_a_database_of_its_own_and_drops_it() -> None:
    rights = account_of_an_administrator()
    deploy(rights, full())
    rights.inherits["CLASS_ROLE"] = {"PUBLIC"}
    rights.users["ADMIN"] = {"CLASS_ROLE"}
    rights.account |= {("EXECUTE TASK", "CLASS_ROLE"), ("CREATE DATABASE", "CLASS_ROLE")}
    rights.things["WAREHOUSE", "ADVENTURE_WH"].grants.add(("USAGE", "CLASS_ROLE"))
    before = state(rights)
    deploy(rights, scratch("class_role").deploy, role="CLASS_ROLE")
    assert rights.find("TASK", f"{NAME}.RAW_EXT.LOAD_ORDERS")
    deploy(rights, scratch("class_role").destroy, role="CLASS_ROLE")
    assert state(rights) == before


def test_the_owner_runs_the_one_file_and_the_triggered_tasks() -> None:
    rights = account_of_an_administrator()
    deploy(rights, scratch().deploy)
    deploy(rights, [*scratch().as_owner, *one_file(scratch().settings)])
    made = rights.find("TASK", f"{NAME}.RAW_EXT.LOAD_ORDERS")
    assert made is not None
    assert "load_arrived" not in made.text, "the model keeps a task's head"
    deploy(rights, scratch().triggered)
    made = rights.find("TASK", f"{NAME}.RAW_EXT.LOAD_ORDERS")
    assert made is not None
    assert " user_task_minimum_trigger_interval_in_seconds = 300 " in made.text


@pytest.mark.parametrize("integration", ["", "MY_FAILURES"])
def test_loads_report_their_failures_where_there_is_an_integration(integration: str) -> None:
    rights = account_of_an_administrator()
    rights.add("ACCOUNTADMIN", "INTEGRATION", "MY_FAILURES")
    made, ran = scratch(snowflake_error_integration=integration), list[str]()
    deploy(rights, made.deploy)

    def run(statements: Sequence[str]) -> str:
        deploy(rights, statements)
        ran.extend(statements)
        return ""

    run(made.alerts)
    told = OtherTasks(made.settings, (), run, made.as_owner, Path("data")).alert(made.integration)
    named = [text for text in ran if "set error_integration = " in text]
    assert named == [f'alter task {name} set error_integration = "MY_FAILURES"' for name in LOADS if integration]
    assert ("not `set error_integration`" in told) == (not integration)
    assert all(rights.things["TASK", f"{NAME}.RAW_EXT.{name.upper()}"].is_resumed for name in LOADS)
    deploy(rights, made.destroy)
    assert rights.find("INTEGRATION", "MY_FAILURES"), "it is not verify's"


def test_the_queries_of_the_rows_have_snowflakes_words_and_types() -> None:
    tables = list(split(Path("snowflake/2_raw_tables.sql").read_text(encoding="utf-8")))
    queries = [query for query, _ in QUERIES.values()]
    checked = check_sent(
        [*tables, *queries, *(HELD.format(table=stream.raw_table) for stream in STREAMS[:3])], Relations()
    )
    assert checked.faults == []
    assert len([text for text in checked.typed if text.startswith("select ")]) >= len(queries) + 3


def test_a_run_for_files_that_are_loaded_already_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    made, moment = scratch(), datetime(2026, 1, 1)
    tasks = OtherTasks(made.settings, STREAMS[:1], lambda _: "", made.as_owner, Path("data"))
    window = SimpleNamespace(id="20260102T000000000000Z-verify02")
    begun: list[AccountRun] = []

    def follow(
        execute: object, load: str, cleanup: str, known: set[tuple[str, datetime]], within: float
    ) -> list[AccountRun]:
        assert {(run.task, run.scheduled_at) for run in begun} == known, "no run is passed without being followed"
        at = moment + timedelta(minutes=5 * len(begun))
        runs = [AccountRun(task, at, at, at, "succeeded", "") for task in (load, cleanup)]
        begun.extend(runs)
        return runs

    monkeypatch.setattr(verify_tasks, "follow_graph", follow)
    monkeypatch.setattr(tasks, "_execute", lambda *_: [(ROWS + 1 if len(begun) > 2 else 0,)])
    monkeypatch.setattr(tasks, "_stage", SimpleNamespace(entries=lambda _: []))
    monkeypatch.setattr(tasks, "_windows", {STREAMS[0].name: window})
    assert tasks._trigger(STREAMS[0]) == f"{ROWS + 1} rows and tombstones loaded by run 2"


def test_no_user_or_role_of_an_edited_file_of_names_is_dropped(tmp_path: Path) -> None:
    folder = shutil.copytree("snowflake", tmp_path / "snowflake")
    names = folder / "0_names.sql"
    names.write_text(names.read_text().replace("'ADVENTURE_", "'SALES_"))
    made = scratch(snowflake_dir=folder)
    named = [text for text in made.destroy if text.startswith("set ")]
    assert len(named) == 9
    assert all(f" = '{NAME}" in text for text in named)


def test_a_pipeline_without_the_shipped_streams_is_refused() -> None:
    with pytest.raises(ConfigError, match="the pipeline has no chat_logs, orders"):
        scratch_of(load_settings(), STREAMS[1:2], name=NAME, role="", data_dir=Path("data"))


@pytest.mark.slow
def test_every_step_succeeds_and_is_in_the_report(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    made = emulator.new_database(NAME, tmp_path)
    scratch = scratch_of(made, STREAMS, name=made.snowflake_database, role="", data_dir=tmp_path / "scratch")
    shown: list[Step] = []
    steps = verify(scratch, STREAMS, shown.append)
    text = to_text(steps, scratch)
    assert [step.name for step in steps if step.outcome != "ok"] == ["build_in_snowflake.sql"], text
    assert shown == steps
    assert "| build_in_snowflake.sql | not run | 0.0 | CREATE and EXECUTE DBT PROJECT never ran in a test" in text
    assert "| load_stages.sql | ok |" in text
    assert " statements, 3000 rows loaded |" in text
    assert text.count("1001 rows and tombstones loaded by run 1") == 3
    assert "not `set error_integration`: SNOWFLAKE_ERROR_INTEGRATION is not set" in text
    for step in ("sign in", "deploy again", "compare orders", "stage the same again chat_logs", "build", "publish"):
        assert f"| {step} | ok |" in text
    published = next(step.detail for step in steps if step.name == "publish")
    assert re.fullmatch(r"\d{4,} rows, 999 of them recent orders", published), published
    assert text.count("| destroy") == 2


@pytest.mark.slow
def test_after_a_step_that_failed_everything_is_destroyed(emulator: Emulator, tmp_path: Path) -> None:
    made = emulator.new_database(f"{NAME}_BROKEN", tmp_path)
    scratch = scratch_of(made, STREAMS, name=made.snowflake_database, role="", data_dir=tmp_path / "scratch")
    broken = replace(scratch, deploy=[f'select "{made.snowflake_account}"'])
    steps = {step.name: step for step in verify(broken, STREAMS, lambda step: None)}
    outcomes = [steps[name].outcome for name in ("deploy", "load orders", "destroy", "destroy again")]
    assert outcomes == ["failed", "not run", "ok", "ok"]
    text = to_text(list(steps.values()), broken)
    assert "<account>" in text
    assert made.snowflake_account not in text.lower()


def test_an_interrupt_destroys_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def interrupt(_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_sign_in", interrupt)
    monkeypatch.setattr(module, "_run", lambda _, statements: ran.append(statements) or "")
    made = scratch()
    with pytest.raises(KeyboardInterrupt):
        verify(made, STREAMS, lambda step: None)
    assert ran == [made.destroy, made.destroy]


def test_the_command_asks_first_and_fails_with_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [Step("sign in", "failed", 0.1, "refused"), Step("destroy", "failed", 0.1, "refused")]
    ran: list[str] = []
    monkeypatch.setattr(module, "verify", lambda made, *_: ran.append(made.settings.snowflake_database) or failed)
    asked = CliRunner().invoke(cli.app, ["snowflake", "verify"], input="n\n")
    assert (asked.exit_code, ran) == (1, [])
    done = CliRunner().invoke(cli.app, ["snowflake", "verify", "--as", "class_role", "--yes"])
    assert done.exit_code == 1
    assert "| sign in | failed | 0.1 | refused |" in done.output
    assert f"whose names begin with {ran[0]}" in done.output
