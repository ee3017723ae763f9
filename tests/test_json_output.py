"""`--json` prints one object with exactly the keys that docs/json.md lists."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from adventure.core.environment import load_settings
from adventure.core.errors import SourceRefused
from adventure.core.settings import Settings
from adventure.core.spans import Span
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import Credits, TaskRun
from adventure.monitoring import queries
from adventure.monitoring.checks import Check
from adventure.monitoring.health import state
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.state import Fault, ObservedStream, TaskState
from adventure.monitoring.observe import SourceSide
from adventure.reconcile.lateness import Lateness
from adventure.reconcile.repair import RepairResult
from adventure.reconcile.result import Difference, Example, Result
from adventure.reconcile.run import Report
from tests.test_health import STREAM as LOADED

ROOT = Path(__file__).parent.parent
AT = datetime(2026, 1, 2, 3, 4, 5, 678901)
LATER = AT + timedelta(seconds=9)
STREAM = Stream("orders", "postgres", "public", "orders", "changed_at", ("id",), "orders_stage", "raw_ext.orders_raw")


def documented(command: str) -> list[str]:
    """Return the keys that the command's section lists."""
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every value in the way that the document writes it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")
    else:
        yield path


@pytest.fixture
def settings(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty folder, which the commands of this process read, too."""
    monkeypatch.setenv("DATA_DIR", str(empty_folder / "data"))
    return load_settings()


def run(*arguments: str, code: int = 0) -> dict[str, Any]:
    """Run the command and return the object on stdout."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert (done.exit_code, done.exception if not isinstance(done.exception, SystemExit) else None) == (code, None)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["schema"] == 1
    return found


def assert_documented(found: dict[str, Any], command: str) -> None:
    assert sorted(set(keys(found))) == sorted(documented(command))


RUN = TaskRun("load_orders", AT, LATER, "succeeded", 3, 1, "3 rows")


def observe(monkeypatch: pytest.MonkeyPatch, fault: Fault | None = None) -> None:
    """Replace the databases, of which orders alone was read."""
    marks = {} if fault else {"orders": Watermark("orders", AT, AT, "horizon", AT)}
    names = ("orders", "order_details", "chat_logs")
    seen = {name: ObservedStream(name) for name in names}
    if marks:
        seen["orders"] = ObservedStream("orders", watermark=AT, mode="horizon")
    side = SourceSide((), seen, marks, fault)
    monkeypatch.setattr("adventure.monitoring.live.observe_sources", lambda *_: side)


def test_status(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.processor_heartbeat.write_text("10 20 15\n")
    observe(monkeypatch)
    monkeypatch.setattr(DuckDBWarehouse, "credits", lambda _: Credits(1.5, 10.0, None))
    loaded = replace(LOADED, rows_loaded=3, rows_rejected=1, rows_deleted=2, last_loaded_at=LATER)
    streams = tuple(replace(loaded, stream=name) for name in ("orders", "order_details", "chat_logs"))
    task = TaskState(RUN.name, AT, LATER, RUN.outcome, 3, 1, RUN.message, LATER, 0)
    monkeypatch.setattr("adventure.monitoring.live._report", lambda *_: state.Report(streams=streams, tasks=(task,)))
    cause = Problem("source_unavailable", "error", "It is away", "Start it", ("orders",))
    problems = [cause, Problem("rows_unread", "error", "Rows wait", "Look at the log", ("orders",), cause=cause)]
    monkeypatch.setattr("adventure.monitoring.pipeline_status.find_problems", lambda _: problems)
    found = run("status")
    assert found["streams"][0] == {
        "stream": "orders",
        "watermark": "2026-01-02T03:04:05.678901Z",
        "mode": "horizon",
        "windows_staged": 0,
        "windows_waiting": 0,
        "rows_loaded": 3,
        "rows_rejected": 1,
        "rows_deleted": 2,
        "last_loaded_at": "2026-01-02T03:04:14.678901Z",
    }
    assert found["streams"][1]["watermark"] is None
    assert found["problems"][1] == {
        "kind": "rows_unread",
        "severity": "error",
        "streams": ["orders"],
        "problem": "Rows wait",
        "fix": "Look at the log",
        "cause": 0,
    }
    assert found["problems"][0]["cause"] is None
    assert found["processor"]["has_ended"] is False
    assert found["not_read"] == []
    assert_documented(found | {"not_read": [""]}, "adventure status")
    assert run("status", "--check", code=1)["problems"] == found["problems"]


def test_status_names_what_it_could_not_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    observe(monkeypatch, Fault("PostgreSQL refuses the password", "Set STATE_DSN"))
    found = run("status")
    assert found["not_read"] == [
        "Watermarks are not shown: PostgreSQL refuses the password. Set STATE_DSN.",
    ]
    assert (found["processor"], found["credits"]) == (None, None)
    assert [problem["kind"] for problem in found["problems"]] == ["watermarks_unavailable"]


def test_check(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("rows", "3", "3", True, "last 30 days"), Check("files", "0", "1", False), Check("x", "", "", None)]
    monkeypatch.setattr("adventure.monitoring.checks.run_checks", lambda *_: checks)
    done = CliRunner().invoke(app, ["check", "--json"])
    assert str(done.exception).startswith("1 of 3 checks do not hold: files")
    found = json.loads(done.stdout)
    assert (found["failed"], [each["holds"] for each in found["checks"]]) == (1, [True, False, None])
    assert [each["period"] for each in found["checks"]] == ["last 30 days", None, None]
    assert_documented(found, "adventure check")


def test_check_queries(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    query = queries.QUERIES[1]
    result = queries.Result(
        query, "attributes.sql", queries.figures(query, [("March 2013", 441, 2613, 5.925, *[1] * 9)])
    )
    monkeypatch.setattr(queries, "run_queries", lambda _: [result])
    found = run("check", "--queries")
    assert found["queries"][0]["figures"][2] == {
        "column": "lines_per_order",
        "march_2013": 5.925,
        "march_2013_expected": "5.925",
        "last_30_days": None,
        "last_30_days_expected": "≈ 3.83",
    }
    assert_documented(found, "adventure check --queries")


def test_reconcile(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    different = {"missing": Difference(2, (Example("7", AT, None),)), "rejected": Difference(1, ())}
    late = Lateness((0, 1, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 1))
    result = Result(STREAM, Span(0, 1_000_000), 9, different)
    reports = [
        Report(STREAM, AT, result, late, RepairResult(2, 0, 1, 0, 8)),
        Report(replace(STREAM, name="lines"), AT, None, None, None, SourceRefused("It refuses", "Grant it")),
        Report(replace(STREAM, name="chats"), None, None, None, None),
    ]
    monkeypatch.setattr("adventure.reconcile.run.reconcile", lambda *_, **__: reports)
    done = CliRunner().invoke(app, ["reconcile", "--json"])
    assert str(done.exception).startswith("lines could not be compared")
    found = json.loads(done.stdout)
    assert found["is_clean"] is False
    assert found["streams"][0]["to"] == "1970-01-01T00:00:01"
    assert found["streams"][0]["differences"] == [
        {
            "kind": "missing",
            "rows": 2,
            "examples": [{"key": "7", "source": "2026-01-02T03:04:05.678901", "warehouse": None}],
        }
    ]
    assert found["streams"][0]["rejected"] == 1
    assert found["streams"][1]["failure"] == {"problem": "It refuses", "fix": "Grant it"}
    assert found["streams"][2] | {"stream": "", "differences": ""} == dict.fromkeys(found["streams"][0]) | {
        "stream": "",
        "differences": "",
        "is_clean": True,
    }
    # An object that is null has no keys of its own.
    whole = found["streams"][0] | {"failure": found["streams"][1]["failure"]}
    assert_documented(found | {"streams": [whole]}, "adventure reconcile")


def test_stage_list(settings: Settings) -> None:
    window = settings.stage_dir / "orders_stage" / "20260102T030405678901Z-0a1b2c3d"
    window.mkdir(parents=True)
    (window / "part-00000.parquet").write_bytes(b"12345")
    found = run("stage", "list")
    assert [(each["stream"], each["path"], each["bytes"]) for each in found["files"]] == [
        ("orders", f"orders_stage/{window.name}/part-00000.parquet", 5)
    ]
    assert_documented(found, "adventure stage list")
    assert run("stage", "list", "chat_logs")["files"] == []


def test_stage_list_has_the_columns_of_list(settings: Settings) -> None:
    path = settings.stage_dir / "orders_stage" / "20260102T030405678901Z-0a1b2c3d" / "part-00000.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"123")
    os.utime(path, (0, 1_700_000_000))
    done = CliRunner().invoke(app, ["stage", "list", "--as-list"])
    head, line = done.stdout.splitlines()
    assert head.split() == ["name", "size", "md5", "last_modified"]
    assert line.split(maxsplit=3) == [
        f"orders_stage/{path.parent.name}/part-00000.parquet",
        "3",
        "202cb962ac59075b964b07152d234b70",
        "Tue, 14 Nov 2023 22:13:20 GMT",
    ]
    assert CliRunner().invoke(app, ["stage", "list", "--as-list", "--json"]).exit_code == 2


def test_tasks_list(settings: Settings) -> None:
    warehouse = DuckDBWarehouse(settings)
    warehouse.create_tables()
    warehouse.record_runs(RUN)
    warehouse.record_runs(replace(RUN, outcome="failed", started_at=LATER, ended_at=LATER + timedelta(seconds=1)))
    found = run("tasks", "list")
    names = [each["task"] for each in found["tasks"]]
    assert names[-3:] == ["build", "publish", "reconcile"]
    load = found["tasks"][names.index("load_orders")]
    assert (load["failures_in_a_row"], load["last_run"]["outcome"]) == (1, "failed")
    assert load["last_run"]["ended_at"] == "2026-01-02T03:04:15.678901Z"
    assert found["tasks"][names.index("build")]["last_run"] is None
    found["tasks"] = [each for each in found["tasks"] if each["last_run"]] + [
        {key: each[key] for key in ("task", "after")} for each in found["tasks"]
    ]
    assert_documented(found, "adventure tasks list")


def test_tasks_list_is_a_table(settings: Settings) -> None:
    DuckDBWarehouse(settings).create_tables()
    done = CliRunner().invoke(app, ["tasks", "list"])
    assert done.exit_code == 0
    assert re.search(r"publish +build +never ran", done.stdout)


def test_an_error_leaves_stdout_empty(settings: Settings) -> None:
    done = CliRunner().invoke(app, ["stage", "list", "refunds", "--json"])
    assert done.stdout == ""
    assert "There is no stream named refunds" in str(done.exception)


def test_every_documented_command_has_the_option() -> None:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    for command in re.findall(r"^## adventure (.+)$", text, re.MULTILINE):
        done = CliRunner().invoke(app, [*command.split(), "--help"])
        assert "--json" in done.stdout, command
