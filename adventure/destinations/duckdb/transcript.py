"""What dbt told DuckDB in a run, and what DuckDB answered.

dbt asks before it acts: which tables there are, which columns they have, up to which row a model was built. Beside the
project and its settings it knows hardly anything else (`repeatable` has the rest), so the same answers lead to the same
statements. `replay` rests on that.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb


@dataclass
class Statement:
    """A statement, and what was answered."""

    sql: str
    columns: str = ""
    """Names and types of the answer's columns."""
    rows: str | None = None
    """The rows, as text; None where dbt did not read them."""


@dataclass
class Transcript:
    """The statements of one run of dbt."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """DuckDB's settings in the profile."""
    opening: list[list[Statement]] = field(default_factory=list)
    """What was said before the models and tests, by session."""
    once: dict[str, Statement] = field(default_factory=dict)
    """What dbt asks once for all models, whichever comes first; by its text."""
    nodes: dict[str, list[Statement]] = field(default_factory=dict)
    """By dbt's id of the model or test."""
    unknown: set[str] = field(default_factory=set)
    """What was done that statements do not show."""


_ONCE = re.compile(
    r"^\s*select (version\(\)\s*$|database_name, type from duckdb_databases\(\)\s*$"
    r"|table_name, constraint_type from duckdb_constraints\(\))",
    re.IGNORECASE,
)
"""The questions of dbt-duckdb (1.11) whose answers it keeps for all models. A model may read the same functions."""
_COMMENT = re.compile(r"^\s*/\*.*?\*/")
"""What dbt writes before each statement: for which node it is."""
_BESIDE_SETTINGS = (
    "attach", "config_options", "extensions", "filesystems", "plugins", "retries", "secrets"
)  # fmt: skip
"""What else a profile can do to a session."""
_HARMLESS = ("close", "interrupt")
"""What dbt does with a session beside statements, without an effect on the rows."""


class _Session:
    """A cursor of DuckDB, as dbt uses it, that writes down what is said."""

    def __init__(self, cursor: Any, transcript: Transcript) -> None:
        self._cursor = cursor
        self._transcript = transcript
        self._opening: list[Statement] = []
        self._last = Statement("")

    def execute(self, sql: str, bindings: Any = None) -> "_Session":
        try:
            if bindings is None:
                self._cursor.execute(sql)
            else:
                self._transcript.unknown.add("values of a statement")
                self._cursor.execute(sql, bindings)
        except duckdb.Error:
            # Its adapter asks so whether a file exists.
            self._transcript.unknown.add("an error")
            raise
        self._last = Statement(_COMMENT.sub("", sql), str(self.description))
        self._write(self._last)
        return self

    def rollback(self) -> None:
        self.execute("rollback")

    def fetchall(self) -> list[Any]:
        rows: list[Any] = self._cursor.fetchall()
        self._last.rows = repr(rows)
        return rows

    @property
    def description(self) -> Any:
        return self._cursor.description

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS:
            self._transcript.unknown.add(name)
        return getattr(self._cursor, name)

    def _write(self, statement: Statement) -> None:
        from dbt_common.events.contextvars import get_node_info

        if _ONCE.search(statement.sql):
            self._transcript.once[statement.sql] = statement
        elif node := get_node_info().get("unique_id"):
            # One thread builds a node, so its statements come in their order.
            self._transcript.nodes.setdefault(node, []).append(statement)
        else:
            if not self._opening:
                self._transcript.opening.append(self._opening)
            self._opening.append(statement)


@contextmanager
def listening() -> Iterator[Transcript]:
    """Write down what dbt sends to DuckDB in the block. The caller holds the file's lock, so no other dbt runs."""
    from dbt.adapters.duckdb.environments.local import LocalEnvironment

    transcript = Transcript()
    begin = LocalEnvironment.initialize_cursor

    def begin_session(creds: Any, *args: Any, **kwargs: Any) -> _Session:
        transcript.settings = {name: str(value) for name, value in (creds.settings or {}).items()}
        transcript.unknown.update(name for name in _BESIDE_SETTINGS if getattr(creds, name, None))
        return _Session(begin(creds, *args, **kwargs), transcript)

    setattr(LocalEnvironment, "initialize_cursor", staticmethod(begin_session))  # noqa: B010
    try:
        yield transcript
    finally:
        # Its class has it.
        delattr(LocalEnvironment, "initialize_cursor")
