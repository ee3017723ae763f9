"""window.json: the list of a staged window's contents. Its presence means that the window is complete.

The processor writes it last, and the warehouse loads exactly what it lists. A window without it does not exist.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from adventure.core.errors import StageDamaged

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MANIFEST = "window.json"

# No dollar sign: in a statement, Snowflake and its tools take such a name for a variable.
KEY_TEXTS = "_adventure_key"
"""Member of a staged document: the texts of its key's fields, where the values as JSON do not show their kind."""

CURSOR_TEXT = "_adventure_cursor"
"""Member of a staged document: its cursor in UTC, where the cursor is text that a warehouse may misread."""

FILE_NAME = re.compile(r"part-[0-9]+\.(parquet|ndjson\.gz)|(rejects|deletes)\.ndjson\.gz")
"""The names of a window's files. The processor did not write files with other names in a window's folder."""

REPLACES = "replaces all rows"
"""In the mode of a window: its rows are the whole table. Loading it removes the rows of all windows before it. If
the stream has a key, it marks the keys that the window does not have as deleted instead."""

RESERVED_COLUMNS = ("_file", "_file_row", "_loaded_at", "_deleted_at", "file_row_number")
"""Columns that raw tables have beside the source's columns, and the column that DuckDB adds when it reads Parquet. No
source column can have one of these names; both warehouses ignore case."""

_PART = re.compile(r"part-[0-9]+\.(parquet|ndjson\.gz)")
REJECTS, DELETES = "rejects.ndjson.gz", "deletes.ndjson.gz"
"""The names of a window's files of rejected and of deleted rows."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**63 - 1
_PLAIN_TYPES = frozenset(
    ["bool", "int16", "int32", "int64", "float", "double", "string", "binary", "date32[day]", "timestamp[us]", "json"]
)
_DECIMAL = re.compile(r"decimal128\(([0-9]{1,2}), ([0-9]{1,2})\)")

# Pydantic reads these dataclasses strictly: it converts no text to numbers and rejects undeclared members.
_STRICT: Any = {"strict": True, "extra": "forbid"}


@dataclass(frozen=True)
class StagedFile:
    """One file of a window."""

    __pydantic_config__ = _STRICT

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Column:
    """A column of the window's data files, in the source's order.

    `type` is an Arrow type's name as `str(pyarrow_type)` gives it: bool, int16, int32, int64, float, double, string,
    binary, date32[day], timestamp[us], decimal128(P, S); `json` for the one column of NDJSON files.
    """

    __pydantic_config__ = _STRICT

    name: str
    type: str


@dataclass(frozen=True)
class Window:
    """The rows of one stream whose cursor lies in `[low, high)`, as they were staged.

    Timestamps are naive, to the microsecond: `low` and `high` in the stream's zone, as its cursor has it, the others
    UTC. `low` is None in a stream's first window. If the stream has a lookback, the window also holds rows below `low`.
    """

    __pydantic_config__ = _STRICT

    stream: str
    stage: str
    low: datetime | None
    high: datetime
    run_id: str
    files: tuple[StagedFile, ...]
    """The data files: part-00000.parquet, … (PostgreSQL) or part-00000.ndjson.gz, … (MongoDB)."""
    rejects: StagedFile | None
    """rejects.ndjson.gz, an object {key, reason, row} a line, or None if no row was rejected."""
    columns: tuple[Column, ...]
    staged_at: datetime
    horizon: datetime
    """The source's horizon when the window was read; `high` is at most the horizon."""
    mode: str
    """How the source was read: `horizon`, `change stream`, or `lookback` with the reason."""
    deletes: StagedFile | None = None
    """deletes.ndjson.gz, an object {key: {column: text}, deleted_at} a line: rows that were deleted at the source."""
    position: str | None = None
    """Where the source continues, such as a resume token, if the watermark alone is not enough."""
    notes: dict[str, str] = field(default_factory=dict)
    """Remarks for the operator by name, such as `rows dated in the future`."""

    @cached_property
    def id(self) -> str:
        """The name of the window's folder. It sorts by `high` and is unique, so that a retry has a new id."""
        return f"{self.high:%Y%m%dT%H%M%S%fZ}-{self.run_id}"

    @property
    def replaces(self) -> bool:
        """Whether its rows are the whole table."""
        return self.mode.endswith(REPLACES)

    @property
    def rows(self) -> int:
        """Rows in the data files. `rows` plus `rejected` is the number of rows read."""
        return sum(file.rows for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows that were rejected."""
        return self.rejects.rows if self.rejects else 0

    @property
    def all_files(self) -> tuple[StagedFile, ...]:
        """Data files, rejects and deletes: every file of the window except window.json."""
        return (*self.files, *filter(None, (self.rejects, self.deletes)))

    def to_json(self) -> bytes:
        """Return the content of window.json."""
        return orjson.dumps({each.name: getattr(self, each.name) for each in fields(self)}, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, content: bytes, where: str | Path) -> "Window":
        """Read a window.json and check each of its fields.

        Args:
            where: the file's name, for the error.

        Raises:
            StageDamaged: the content is not in the form that `to_json` writes.
        """
        from pydantic import ValidationError

        from adventure.core.validation import faults_by_name

        try:
            window = _adapter().validate_json(content)
        except ValidationError as error:
            faults = "; ".join(f"{name}{fault}".strip() for name, fault in [*faults_by_name(error).items()][:3])
            raise StageDamaged(f"{where} is not a window's manifest: {faults}") from error
        fault = next(_faults(window), None)
        if fault:
            raise StageDamaged(f"{where} is not a window's manifest: {fault}")
        return window


@cache
def _adapter() -> "TypeAdapter[Window]":
    """Return the validator for Window. Building it imports pydantic, so it is built when first needed."""
    from pydantic import TypeAdapter

    return TypeAdapter(Window)


def _faults(window: Window) -> Iterator[str]:
    """Yield faults that field types do not show. Each would load rows twice, wrongly, or not at all."""
    moments = (window.low, window.high, window.staged_at, window.horizon)
    if any(moment and moment.tzinfo for moment in moments):
        yield "a timestamp has an offset"
    if window.low and window.low > window.high:
        yield "low is above high"
    names = [file.name for file in window.all_files]
    if len(set(names)) < len(names):
        yield f"it lists a file twice: {', '.join(names)}"
    for file in window.all_files:
        if not 0 <= file.rows <= _LARGEST or not 0 <= file.bytes <= _LARGEST:
            yield f"{file.name} cannot have {file.rows} rows and {file.bytes} bytes"
        if not _SHA256.fullmatch(file.sha256):
            yield f"{file.name} has no SHA-256"
    for file in window.files:
        if not _PART.fullmatch(file.name):
            yield f"it lists {file.name!r}, which is no file of its window"
    for beside, name in ((window.rejects, REJECTS), (window.deletes, DELETES)):
        if beside and beside.name != name:
            yield f"it lists {beside.name!r}, which is no file of its window"
    yield from _column_faults(window)


def _column_faults(window: Window) -> Iterator[str]:
    columns = {column.name for column in window.columns}
    if len(columns) < len(window.columns):
        yield "two columns have the same name"
    if "" in columns:
        yield "a column has no name"
    for column in window.columns:
        if not _is_known(column.type):
            yield f"column {column.name} has the type {column.type!r}, which is unknown"
    is_document = [(column.name, column.type) for column in window.columns] == [("raw", "json")]
    if not is_document and any(column.type == "json" for column in window.columns):
        yield "a document has the one column raw"
    for file in window.files:
        if not window.columns or file.name.endswith(".ndjson.gz") != is_document:
            yield f"its columns are not those of {file.name}"


@lru_cache(maxsize=256)
def _is_known(kind: str) -> bool:
    decimal = _DECIMAL.fullmatch(kind)
    if decimal:
        return 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1])
    return kind in _PLAIN_TYPES


def read_manifest(content: bytes, where: str | Path, stage: str, window_id: str) -> Window:
    """Read a window.json, and check that it belongs to the window in whose folder it lies.

    Args:
        where: the file's name, for the error.

    Raises:
        StageDamaged: the content is malformed, or belongs to another window.
    """
    try:
        window = Window.from_json(content, where)
    except StageDamaged as error:
        raise StageDamaged(error.problem, window_id=window_id) from error
    if (window.stage, window.id) != (stage, window_id):
        raise StageDamaged(f"{where} belongs to the window {window.stage}/{window.id}", window_id=window_id)
    return window
