"""Count the account calls of the load procedure over a long backlog. Each call costs the warehouse's time."""

import json
import re
from typing import Any

import pytest

from tests.snowflake.procedure import load_procedure

WINDOWS = 10_000
CALLS_A_WINDOW = 0.05
ORDERS = ("orders", "columns", "orders_stage", "raw_ext.orders_raw", ["sales_order_id"], "last_modified")
COLUMNS = [
    ("SALES_ORDER_ID", "TEXT", None, None, "ORDERS_RAW"),
    ("LAST_MODIFIED", "TIMESTAMP_NTZ", None, None, "ORDERS_RAW"),
]
DATA, DELETES = "part-00000.parquet", "deletes.ndjson.gz"


class Account:
    """A stage with many windows, each of one row and, if asked for, one deleted row; it counts its calls."""

    def __init__(self, *, deletes: bool) -> None:
        self.calls = 0
        self.ledger: list[tuple[str, str, int]] = []
        self.staged: dict[tuple[str, str], int] = {}
        self.manifests: dict[str, str] = {}
        for number in range(WINDOWS):
            window_id = f"20260101T{number:06d}000000Z-0000000a"
            files = [{"name": DATA, "rows": 1, "bytes": 10, "sha256": "0"}]
            deleted = {"name": DELETES, "rows": 1, "bytes": 10, "sha256": "0"} if deletes else None
            self.manifests[window_id] = json.dumps(
                {
                    "stream": "orders", "stage": "orders_stage", "low": None, "high": "2026-01-01", "mode": "horizon",
                    "horizon": "2026-01-01", "run_id": "0", "staged_at": "2026-01-01", "files": files,
                    "rejects": None, "deletes": deleted,
                    "columns": [
                        {"name": "sales_order_id", "type": "string"},
                        {"name": "last_modified", "type": "timestamp[us]"},
                    ],
                }
            )  # fmt: skip
            self.staged |= dict.fromkeys([(window_id, DATA), (window_id, "window.json")], 10)
            if deletes:
                self.staged[window_id, DELETES] = 10

    def sql(self, statement: str, params: Any = ()) -> "Answer":
        return Answer(self, statement, list(params))

    def answer(self, statement: str, params: list[Any]) -> list[tuple[Any, ...]]:
        self.calls += 1
        if statement.startswith("list "):
            return [(f"orders_stage/{window}/{name}", size) for (window, name), size in self.staged.items()]
        if statement.startswith("select metadata"):
            pattern = statement.partition("pattern => '")[2][:-2].replace("\\\\", "\\")
            tombstone = json.dumps({"key": {"sales_order_id": "a"}, "deleted_at": "2026-01-01"})
            return [
                (f"{window}/{name}", 1, self.manifests[window] if name == "window.json" else tombstone)
                for window, name in self.staged
                if re.fullmatch(pattern, f"{window}/{name}")
            ]
        if statement.startswith("copy into"):
            files = re.findall(r"'([^' ]+/part-[^']+)'", statement)
            assert 0 < len(files) <= 1000, "Snowflake takes at most 1,000 files"
            return [(f"orders_stage/{file}", "LOADED", 1, 1) for file in files]
        if statement.startswith("insert into raw_ext.load_history"):
            self.ledger += [(row[2], row[3], row[5]) for row in zip(*[iter(params)] * 14, strict=True)]
        if statement.startswith("remove "):
            pattern = statement.partition("pattern = '")[2][:-1].replace("\\\\", "\\")
            self.staged = {key: 10 for key in self.staged if not re.fullmatch(pattern, "/".join(key))}
        if "information_schema.columns" in statement:
            return COLUMNS
        if statement.startswith("select max(loaded_at)"):
            return [(None,)]
        return list(self.ledger) if statement.startswith("select window_id") else []


class Answer:
    def __init__(self, account: Account, statement: str, params: list[Any]) -> None:
        self._account, self._statement, self._params = account, statement, params

    def collect(self) -> list[tuple[Any, ...]]:
        return self._account.answer(self._statement, self._params)


@pytest.mark.parametrize("deletes", [False, True], ids=["rows", "rows and deletes"])
def test_a_long_backlog_costs_few_calls(deletes: bool) -> None:
    run, account = load_procedure()["run"], Account(deletes=deletes)
    assert run(account, "load", *ORDERS) == f"{WINDOWS} rows, {len(account.ledger)} files"
    assert len(account.ledger) == WINDOWS * (1 + deletes)
    loading = account.calls
    run(account, "cleanup", *ORDERS)
    assert account.staged == {}
    cleaning = account.calls - loading
    print(f"{WINDOWS} windows: {loading} calls to load them, {cleaning} to clean up")
    assert loading / WINDOWS <= CALLS_A_WINDOW
    assert cleaning / WINDOWS <= CALLS_A_WINDOW
