"""Fixtures that run the dbt project on raw tables, which a test fills row by row."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.destinations.common import dbt_command
from adventure.factory import open_warehouse
from tests.parsed import parse_once
from tests.shared import shared_folder

DBT = Path(__file__).parent.parent.parent / "dbt"
Row = dict[str, Any]


def today() -> datetime:
    """Return the first moment of the day in UTC. A test asks for it again: the tests may run past midnight."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


NOON = today() - timedelta(days=1) + timedelta(hours=12)
"""Noon of the day before the tests began, so that it is always within the last 30 days."""


def order(order_id: str, **changes: Any) -> Row:
    """Return a live online order of 0 dollars without lines, placed at NOON."""
    placed = changes.get("order_date", NOON)
    row = {
        "sales_order_id": order_id,
        "revision_number": 8,
        "status": 5,
        "online_order_flag": 1,
        "sales_order_number": f"SO{order_id}",
        "purchase_order_number": None,
        "account_number": "10-4030-011000",
        "customer_id": 11000,
        "sales_person_id": None,
        "territory_id": 7,
        "bill_to_address_id": 1,
        "ship_to_address_id": 1,
        "ship_method_id": 1,
        "credit_card_id": "16",
        "credit_card_approval_code": "123Vi456",
        "currency_rate_id": None,
        "sub_total": Decimal(0),
        "tax_amt": Decimal(0),
        "freight": Decimal(0),
        "comment": None,
        "order_date": placed,
        "ship_date": placed + timedelta(days=7),
        "due_date": placed + timedelta(days=12),
        "last_modified": placed,
    } | changes
    return row | {"total_due": row["sub_total"] + row["tax_amt"] + row["freight"]}


def line(line_id: str, order_id: str, **changes: Any) -> Row:
    """Return a line of one unit of product 707 for 10 dollars."""
    row = {
        "sales_order_detail_id": line_id,
        "sales_order_id": order_id,
        "carrier_tracking_number": None,
        "order_qty": 1,
        "product_id": 707,
        "special_offer_id": 1,
        "unit_price": Decimal(10),
        "unit_price_discount": Decimal(0),
        "last_modified": NOON,
    } | changes
    return {"line_total": row["order_qty"] * row["unit_price"]} | row


def chat(chat_id: str, **changes: Any) -> Row:
    """Return an open chat with one message."""
    started = NOON.isoformat() + "Z"
    return {
        "_id": chat_id,
        "customer_id": 11000,
        "product_id": 707,
        "sales_order_id": "a",
        "order_date": started,
        "chat_start_time": started,
        "chat_completion_time": None,
        "ticket_channel": "Email",
        "ticket_type": "Technical issue",
        "ticket_subject": "Battery life",
        "ticket_description": "It is flat",
        "resolution": None,
        "ticket_priority": "Low",
        "ticket_status": "Open",
        "customer_satisfaction_rating": None,
        "messages": [{"sender": "customer", "sent_at": started, "text": "It is flat"}],
        "last_modified": started,
    } | changes


def tombstone(key: str, value: str, at: datetime) -> Row:
    """Return the row that a load writes for a key deleted at the source."""
    return {key: value, "last_modified": at, "_deleted_at": at}


def chat_tombstone(chat_id: str, at: datetime) -> Row:
    """Return the tombstone of a document, which contains key and cursor itself."""
    return tombstone("_id", chat_id, at) | {"last_modified": at.isoformat() + "Z"}


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands of dbt that have run, such as `parse` and `build`."""
    ran: list[str] = []
    invoke = dbt_command.invoke

    def noting(arguments: list[str], manifest: object = None) -> object:
        ran.append(arguments[0])
        return invoke(arguments, manifest)

    monkeypatch.setattr(dbt_command, "invoke", noting)
    return ran


@dataclass
class Project:
    """A separate warehouse, on which dbt runs in this process."""

    path: Path
    folder: Path
    statuses: dict[str, str] = field(default_factory=dict)
    """The status of each node in the last run, by name."""
    _first: datetime = field(default_factory=today)
    _loads: int = 0

    def load(self, *, orders: Iterable[Row] = (), lines: Iterable[Row] = (), chats: Iterable[Row] = ()) -> None:
        """Load rows into each raw table with one stamp, later than all stamps before."""
        documents = [
            {"raw": json.dumps({**document, "_deleted_at": None}), "_deleted_at": document.get("_deleted_at")}
            for document in chats
        ]
        for table, rows in (("orders_raw", orders), ("order_details_raw", lines), ("chat_logs_raw", documents)):
            stamps = {"_loaded_at": self.next_stamp(), "_file": f"file-{self._loads}"}
            self.insert(f"raw_ext.{table}", [{**row, **stamps, "_file_row": i} for i, row in enumerate(rows)])

    def next_stamp(self) -> datetime:
        """Return `_loaded_at` for the next load."""
        self._loads += 1
        return self._first + timedelta(seconds=self._loads)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        with duckdb.connect(str(self.path)) as connection:
            for row in rows:
                names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" for _ in row)
                connection.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))

    def dbt(self, *arguments: str) -> None:
        """Run dbt. A failed node raises AssertionError; warnings are in `statuses`."""
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        os.environ["ADVENTURE_DUCKDB_PATH"] = str(self.path)
        options = ["--project-dir", DBT, "--profiles-dir", DBT, "--quiet", "--no-version-check"]
        options += [] if "--target" in arguments else ["--target", "duckdb"]
        options += ["--target-path", self.folder / "target", "--log-path", self.folder / "logs"]
        if arguments[0] != "parse":  # writing the manifest takes a second
            options.append("--no-write-json")
        try:
            result = dbtRunner().invoke([*arguments, *map(str, options)])
        finally:
            DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
            del os.environ["ADVENTURE_DUCKDB_PATH"]
        assert result.exception is None, result.exception
        nodes = list(getattr(result.result, "results", []))
        self.statuses = {node.node.name: str(node.status) for node in nodes}
        failed = {node.node.name: node.message for node in nodes if str(node.status) in ("error", "fail", "skipped")}
        assert failed == {}

    def build(self, *arguments: str) -> None:
        """Build the models and run the data tests."""
        self.dbt("build", "--exclude-resource-type", "unit_test", *arguments)

    def build_models(self, *arguments: str) -> None:
        """Build the models without tests."""
        self.dbt("build", "--resource-type", "model", "--resource-type", "seed", *arguments)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(statement).fetchall()

    def table(self, name: str) -> list[str]:
        """Return all rows of a model as text, sorted."""
        return sorted(str(row) for row in self.query(f"select * from dbt_prod.{name}"))


@pytest.fixture(scope="session")
def dbt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that all tests share, so that dbt parses it once."""
    parse_once(shared_folder(tmp_path_factory) / "parsed")
    return tmp_path_factory.mktemp("dbt")


def new_project(folder: Path, dbt_folder: Path) -> Project:
    settings = load_settings(data_dir=folder)
    open_warehouse(settings).create_tables()
    return Project(settings.duckdb_path, dbt_folder)
