"""`adventure rejects` lists rejected rows with key, column and reason, and says how they come back."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from adventure.core.clock import utc_now
from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.destinations.duckdb.connection import connect
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import RejectedRow
from adventure.reconcile import rejects
from tests.test_json_output import assert_documented

AT = datetime(2026, 1, 2, 3, 4, 5)
ROWS = [
    ("orders", "7", "total_due is no finite number that fits decimal(38, 9)", '{"total_due": "NaN"}', "w/a", AT),
    ("orders", "8", "comment is not text in UTF-8; due_date is infinite or not within …", "{}", "w/a", AT),
    ("chat_logs", "[1]", "its cursor last_modified is missing, or neither a date nor text", "{}", "w/b", AT),
]


@pytest.fixture
def warehouse(empty_folder: Path) -> DuckDBWarehouse:
    """The warehouse of an empty folder, with three rejected rows of which order 7 has come back."""
    made = DuckDBWarehouse(load_settings())
    for row in ROWS:
        made.execute("insert into raw_ext.rejected_rows values (?, ?, ?, ?, ?, ?)", row)
    made.execute("insert into raw_ext.orders_raw (sales_order_id, _loaded_at) values ('7', ?)", [utc_now()])
    return made


def listed(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["rejects", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_rows_that_did_not_come_back_are_listed_with_column_reason_and_fix(warehouse: DuckDBWarehouse) -> None:
    found = listed("orders")
    assert [(each["key"], each["columns"], each["has_returned"]) for each in found["rejects"]] == [
        ("8", ["comment", "due_date"], False)
    ]
    assert "`adventure reconcile orders --repair`" in found["rejects"][0]["fix"]
    assert_documented(found, "adventure rejects")


def test_all_lists_the_rows_that_came_back_too_and_the_limit_holds(warehouse: DuckDBWarehouse) -> None:
    assert {(each["stream"], each["key"], each["has_returned"]) for each in listed("--all")["rejects"]} == {
        ("orders", "7", True),
        ("orders", "8", False),
        ("chat_logs", "[1]", False),
    }
    found = listed("--all", "--limit", "1")
    assert (found["rows"], len(found["rejects"])) == (3, 1)


def test_the_text_has_the_same_rows_and_the_fix_of_each_stream(
    warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["rejects"], catch_exceptions=False)
    assert "comment, due_date" in done.stdout
    assert "[1]" in done.stdout
    assert "orders: Fix the rows at the source, or the types of orders in pipeline.toml." in done.stdout
    assert "chat_logs: Fix the rows at the source. " in done.stdout


def test_while_another_command_has_the_warehouse_the_published_rows_are_listed(
    warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    monkeypatch.setattr(rejects, "RETRY_FOR_SEC", 0.1)
    with connect(settings.duckdb_path):
        done = CliRunner().invoke(app, ["rejects"])
        assert str(done.exception).startswith("Another command has the warehouse, and nothing is published yet.")
    warehouse.publish_report(load_streams(settings), interval=None)
    with connect(settings.duckdb_path):
        found = listed("orders")
    assert {each["key"]: each["has_returned"] for each in found["rejects"]} == {"7": None, "8": None}
    assert found["published_at"] is not None


@pytest.mark.parametrize(
    ("stream", "reason", "columns"),
    [
        ("orders", "its cursor changed_at is NULL or infinite", ["changed_at"]),
        ("orders", "its cursor at is NULL or infinite; at is infinite or not within the years 1 to 9999", ["at"]),
        ("orders", "id, of its key, is NULL", ["id"]),
        ("chat_logs", "its key _id is missing or null", ["_id"]),
        ("chat_logs", "its cursor meta.updatedAt is missing, or neither a date nor text", ["meta.updatedAt"]),
        ("chat_logs", "its cursor is text that is no ISO-8601 date: '2001-99-01'", ["last_modified"]),
        ("chat_logs", "its cursor is a date outside of the years 1 to 9999", ["last_modified"]),
        ("chat_logs", "its 'unit price' cannot be decoded exactly", ["unit price"]),
        ("chat_logs", "its 'price' is of the unknown type 0x20", ["price"]),
        ("chat_logs", "it holds the key 'price' twice", ["price"]),
        ("chat_logs", "it has a member _adventure_key, which Adventure uses", ["_adventure_key"]),
        ("chat_logs", "it holds a date outside of the years 1 to 9999 (1 ms)", []),
        ("chat_logs", "it cannot be decoded: not a valid BSON", []),
    ],
)
def test_the_reason_names_the_column(empty_folder: Path, stream: str, reason: str, columns: list[str]) -> None:
    row = RejectedRow(stream, "1", reason, None, "f", AT, False)
    (of,) = [each for each in load_streams(load_settings()) if each.name == stream]
    assert rejects.columns_of(row, of) == columns
