"""window.json: what a staged window holds, and the promise that it is whole.

It is the contract between the processor, which writes it last, and the warehouse, which loads exactly what it lists.
A window without it does not exist.
"""

import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import PurePath

import orjson

from adventure.core.errors import StageDamaged

MANIFEST = "window.json"

KEY_TEXTS = "$key"
"""Member of a staged document: the texts of its key's fields, where its own values do not tell their kinds."""

CURSOR_TEXT = "$cursor"
"""Member of a staged document: its cursor in UTC, where that is text in a form that no warehouse reads for sure."""

FILE_NAME = re.compile(r"part-\d+\.(parquet|ndjson\.gz)|(rejects|deletes)\.ndjson\.gz")
"""What the processor calls a window's files. Whatever has another name in a window's folder is somebody else's."""


@dataclass(frozen=True)
class StagedFile:
    """One file of a window."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Column:
    """A column of the window's data files, in the source's order.

    `type` is an Arrow type's name as `str(pyarrow_type)` gives it: int32, int64, double, bool, string, binary,
    date32[day], timestamp[us], timestamp[us, tz=UTC], decimal128(P, S); `json` for the one column of NDJSON files.
    """

    name: str
    type: str


@dataclass(frozen=True)
class Window:
    """The rows of one stream whose cursor lies in `[low, high)`, as they were staged.

    Timestamps are naive UTC, to the microsecond. `low` is None in a stream's first window. Rows below `low` are
    in it as well where the stream has a lookback.
    """

    stream: str
    stage: str
    low: datetime | None
    high: datetime
    run_id: str
    files: tuple[StagedFile, ...]
    """The data files: part-00000.parquet, … (PostgreSQL) or part-00000.ndjson.gz, … (MongoDB)."""
    rejects: StagedFile | None
    """rejects.ndjson.gz, an object {key, reason, row} a line, or None when every row could be carried."""
    columns: tuple[Column, ...]
    staged_at: datetime
    horizon: datetime
    """The source's horizon when the window was cut; `high` lies at it or below."""
    mode: str
    """How the source was read: `horizon`, `change stream`, or `lookback` with the reason."""
    deletes: StagedFile | None = None
    """deletes.ndjson.gz, an object {key: {column: text}, deleted_at} a line: rows that are gone at the source."""
    position: str | None = None
    """Where the source reads on, for a source that has more to say than the watermark does."""
    notes: dict[str, str] = field(default_factory=dict)
    """What a reader of the window may want to know, such as `rows past the horizon`."""

    @property
    def id(self) -> str:
        """The window's folder: sorts by `high`, and never repeats, so that the ledger can tell two tries apart."""
        return f"{self.high:%Y%m%dT%H%M%S%fZ}-{self.run_id}"

    @property
    def rows(self) -> int:
        """Rows in the data files; with `rejected` it adds up to the rows read."""
        return sum(file.rows for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows set aside."""
        return self.rejects.rows if self.rejects else 0

    @property
    def all_files(self) -> tuple[StagedFile, ...]:
        """Data files, rejects and deletes: all that the window promises beside window.json."""
        return (*self.files, *filter(None, (self.rejects, self.deletes)))

    def to_json(self) -> bytes:
        """window.json."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, content: bytes, where: str) -> "Window":
        """Reads a window.json.

        Args:
            where: the file's name, for the error.

        Raises:
            StageDamaged: it is not what `to_json` writes.
        """
        try:
            fields = orjson.loads(content)
            return cls(
                stream=fields["stream"],
                stage=fields["stage"],
                low=datetime.fromisoformat(fields["low"]) if fields["low"] else None,
                high=datetime.fromisoformat(fields["high"]),
                run_id=fields["run_id"],
                files=tuple(StagedFile(**file) for file in fields["files"]),
                rejects=StagedFile(**fields["rejects"]) if fields["rejects"] else None,
                deletes=StagedFile(**fields["deletes"]) if fields["deletes"] else None,
                columns=tuple(Column(**column) for column in fields["columns"]),
                staged_at=datetime.fromisoformat(fields["staged_at"]),
                horizon=datetime.fromisoformat(fields["horizon"]),
                mode=fields["mode"],
                position=fields["position"],
                notes=fields["notes"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StageDamaged(
                f"{where} is not a window's manifest: {error!r}",
                "Remove that window's folder; its rows are read again if the watermark was not moved",
            ) from error


def read_manifest(content: bytes, where: str, stage: str, window_id: str) -> Window:
    """Reads a window.json and checks that it speaks of the window in which it stands.

    Args:
        where: the file's name, for the error.

    Raises:
        StageDamaged: it is malformed, belongs to another window, or names files outside of its window.
    """
    window = Window.from_json(content, where)
    problem = ""
    if (window.stage, window.id) != (stage, window_id):
        problem = f"{where} belongs to the window {window.stage}/{window.id}"
    for file in window.all_files:
        if PurePath(file.name).name != file.name or file.name == MANIFEST:
            problem = f"{where} lists {file.name!r}, which is no file of its window"
    if problem:
        raise StageDamaged(problem, "Move the window back to where it was staged, or remove it")
    return window
