"""A stage with the windows that wait on it, and the ledger of what was loaded: answers the statements of the procedure.

It holds no rows. Each window has one row and, if asked for, one deleted row.
"""

import json
import re
from typing import Any

DELETES = "deletes.ndjson.gz"
_COLUMNS = {
    "orders": [("SALES_ORDER_ID", "TEXT", None, None), ("LAST_MODIFIED", "TIMESTAMP_NTZ", None, None)],
    "order_details": [("SALES_ORDER_DETAIL_ID", "TEXT", None, None), ("LAST_MODIFIED", "TIMESTAMP_NTZ", None, None)],
    "chat_logs": [("RAW", "VARIANT", None, None)],
}
_STAGED = {"TEXT": "string", "TIMESTAMP_NTZ": "timestamp[us]", "VARIANT": "json"}
STAGES = {"orders": "orders_stage", "order_details": "order_details_stage", "chat_logs": "chat_stage"}
KEYS = {"orders": "sales_order_id", "order_details": "sales_order_detail_id", "chat_logs": "_id"}


class Backlog:
    """One stream's stage and ledger. It is also a session, which counts its calls and has all rights."""

    def __init__(self, windows: int, *, stream: str = "orders", deletes: bool = False, mode: str = "horizon") -> None:
        self.stream, self.stage, self.deletes, self.mode = stream, STAGES[stream], deletes, mode
        self.data = "part-00000.ndjson.gz" if stream == "chat_logs" else "part-00000.parquet"
        self.calls = 0
        self.ledger: list[tuple[str, str, int]] = []
        self.staged: dict[tuple[str, str], int] = {}
        self.manifests: dict[str, str] = {}
        for _ in range(windows):
            self.add_window()

    def add_window(self) -> str:
        """Stage one more window, and return its name."""
        window_id = f"20260101T{len(self.manifests):06d}000000Z-0000000a"
        self.manifests[window_id] = json.dumps(
            {
                "stream": self.stream, "stage": self.stage, "low": None, "high": "2026-01-01", "mode": self.mode,
                "horizon": "2026-01-01", "run_id": "0", "staged_at": "2026-01-01", "rejects": None,
                "files": [{"name": self.data, "rows": 1, "bytes": 10, "sha256": "0"}],
                "deletes": {"name": DELETES, "rows": 1, "bytes": 10, "sha256": "0"} if self.deletes else None,
                "columns": [{"name": row[0].lower(), "type": _STAGED[row[1]]} for row in _COLUMNS[self.stream]],
            }
        )  # fmt: skip
        names = (self.data, "window.json", *([DELETES] if self.deletes else ()))
        self.staged |= dict.fromkeys([(window_id, name) for name in names], 10)
        return window_id

    def sql(self, statement: str, params: Any = ()) -> "_Statement":
        """A statement that runs when it is collected."""
        return _Statement(self, statement, list(params))

    def answer(self, statement: str, params: list[Any]) -> list[tuple[Any, ...]]:
        """Count the call, and return the rows of its result."""
        self.calls += 1
        if statement.startswith("list "):
            return [(f"{self.stage}/{window}/{name}", size) for (window, name), size in self.staged.items()]
        if statement.startswith("select metadata"):
            pattern = statement.partition("pattern => '")[2][:-2].replace("\\\\", "\\")
            tombstone = json.dumps({"key": {KEYS[self.stream]: "a"}, "deleted_at": "2026-01-01"})
            return [
                (f"{window}/{name}", 1, self.manifests[window] if name == "window.json" else tombstone)
                for window, name in self._matching(pattern)
            ]
        if statement.startswith("copy into"):
            files = re.findall(r"'([^' ]+/part-[^']+)'", statement)
            assert 0 < len(files) <= 1000, "Snowflake takes at most 1,000 files"
            return [(f"{self.stage}/{file}", "LOADED", 1, 1) for file in files]
        if statement.startswith("insert into raw_ext.load_history"):
            self.ledger += [(row[2], row[3], row[5]) for row in zip(*[iter(params)] * 14, strict=True)]
        if statement.startswith("insert into ") and "_deleted_at" in statement and "row_number()" in statement:
            return [(1,)]
        if statement.startswith("remove "):
            pattern = statement.partition("pattern = '")[2][:-1].replace("\\\\", "\\")
            for file in self._matching(pattern):
                del self.staged[file]
        if "information_schema.columns" in statement:
            # Of the raw table, and of its view of latest versions.
            tables = [name.upper() for name in params[1:]]
            return [(*column, table) for table in tables for column in _COLUMNS[self.stream]]
        if statement.startswith("select max(loaded_at)"):
            return [(None,)]
        return list(self.ledger) if statement.startswith("select window_id") else []

    def _matching(self, pattern: str) -> list[tuple[str, str]]:
        # A pattern names up to 200 windows: comparing it with the files of these alone saves most of the time.
        named = set(re.findall(r"[0-9T]+Z-[0-9a-f]{8}", pattern))
        files = [file for file in self.staged if not named or file[0] in named]
        return [file for file in files if re.fullmatch(pattern, "/".join(file))]


class _Statement:
    def __init__(self, backlog: Backlog, statement: str, params: list[Any]) -> None:
        self._backlog, self._statement, self._params = backlog, statement, params

    def collect(self) -> list[tuple[Any, ...]]:
        return self._backlog.answer(self._statement, self._params)
