"""Raw tables, the tasks that fill them from the stages, and what is built on them.

One seam, two kinds of warehouse: DuckDB, whose tasks we run, and Snowflake, which runs its own. This room
knows the stage, and must not know the processor.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from adventure.core.manifest import Window
from adventure.core.row_text import RowColumn
from adventure.core.streams import Stream
from adventure.destinations.scope import Scope

Outcome = Literal["succeeded", "failed", "skipped"]

RUNS_KEPT = 1000


@dataclass(frozen=True)
class Moved:
    """What a load or a cleanup did."""

    rows: int = 0
    files: int = 0


@dataclass(frozen=True)
class TaskRun:
    """One run of one task. Timestamps are naive UTC."""

    name: str
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    rows: int
    files: int
    message: str


@dataclass(frozen=True)
class RemovedWindow:
    """A staged window that was removed before it was loaded. Timestamps are naive UTC."""

    stream: str
    stage: str
    id: str
    low: datetime | None
    high: datetime
    run_id: str


@dataclass(frozen=True)
class StreamTotals:
    """What the ledger says of one stream."""

    rows: int = 0
    """Rows loaded."""
    rejected: int = 0
    """Rows set aside."""
    deleted: int = 0
    """Rows marked as gone at the source."""
    last_loaded_at: datetime | None = None


@dataclass(frozen=True)
class TaskCost:
    """What the account metered for one task or command: of its queries alone, not of an idle warehouse."""

    name: str
    runs: int
    """Of this month."""
    credits: float
    """Of these runs."""
    last_run_at: datetime
    """Naive UTC; of the last run that was metered."""
    last_run_credits: float


@dataclass(frozen=True)
class Costs:
    """Credits of this month."""

    used: float
    """By the warehouse, idle minutes included."""
    budget: float | None
    """CREDIT_BUDGET."""
    quota: float | None
    """At which the account's monitor suspends the warehouse."""
    tasks: list[TaskCost]


@dataclass(frozen=True)
class Copied:
    """Files that the warehouse's own COPY took up for a table within the last day."""

    table: str
    files: int
    """Loaded."""
    rows: int
    """In them."""
    failed: int
    """Attempts at a file that ended with an error."""
    last_failed_file: str | None
    first_error: str | None
    """Of that file."""


class Versions(Protocol):
    """The latest version of each key of a stream, as they were at one moment; cursors in microseconds since 1970.

    Of keys that are gone, there is none.
    """

    def lowest(self) -> int | None:
        """The lowest cursor; None where no row has one."""

    def digests(self, low: int, high: int, width: int) -> list[tuple[int, int, int]]:
        """Of `[low, high)`, divided into pieces of that width: number, rows, and the sum of the rows' hashes.

        A row's hash is the first 15 hexadecimal digits of the MD5 of its key, `|` and its cursor, as a number. Where
        rows are compared, `|` and the hash of the row's text follow the cursor (`adventure.core.row_text`).
        """

    def between(self, low: int, high: int) -> Iterator[Sequence[tuple[str, int, str | None]]]:
        """Keys, cursors and, where rows are compared, the rows' hashes in `[low, high)`, in batches."""


class Warehouse(Protocol):
    """What the tasks and the commands need of a warehouse."""

    def create_tables(self) -> None:
        """Makes the ledger, the history of the tasks and the shipped raw tables where they are missing."""

    def load_is_due(self) -> bool:
        """Whether a schedule of ours has to run loads and cleanups: not where the warehouse does so itself."""

    def load(self, stream: Stream) -> Moved:
        """Loads the stream's staged windows that are not in the ledger, each window's rows and entries together.

        Raises:
            StageDamaged: a staged file is not what its window.json promises; all other windows are loaded.
            SchemaDrift: a staged column no longer fits its raw table; windows before it are loaded.
            TaskFailed: one of these, where the warehouse's own task found it.
        """

    def cleanup(self, stream: Stream) -> Moved:
        """Removes exactly the staged windows whose files are all in the ledger with the promised row counts."""

    def loaded(self, windows: Iterable[Window]) -> set[str]:
        """The ids of those windows that are loaded whole."""

    def build(self, scope: Scope | None = None) -> str:
        """Builds and tests the dbt models; one line that says what was built.

        Args:
            scope: the least that is built. More is where it has to be: all from scratch after a load of the history,
                every model and test when the project has changed or a day has begun.

        Raises:
            BuildFailed: a model or a test failed.
        """

    def build_is_due(self) -> bool:
        """Whether sales or a history were loaded, or a day has begun, since the last build that succeeded."""

    def publish(self) -> int:
        """Replaces the copy that the dashboard reads; the number of its rows."""

    def publish_is_due(self) -> bool:
        """Whether a build has succeeded since the last publish that succeeded."""

    def publish_report(self, streams: Sequence[Stream], *, every: float | None) -> None:
        """Replaces what the dashboard says of the pipeline.

        Args:
            every: seconds between two runs of the tasks; None when they are run by hand.
        """

    def record_removal(self, window: RemovedWindow) -> None:
        """Note in the ledger that a window was removed from the stage whose rows are elsewhere."""

    def record(self, run: TaskRun) -> None:
        """Adds a run to `raw_ext.task_history`, which keeps the last RUNS_KEPT of each task and outcome."""

    def last_runs(self) -> list[TaskRun]:
        """The last run of each task."""

    def failures_in_a_row(self) -> dict[str, tuple[int, str]]:
        """By task whose last run failed: how many did since one succeeded, and the last one's message."""

    def outstanding_rejects(self, stream: Stream, since: datetime) -> int:
        """Return how many keys were rejected since then and have no row in the raw table that was loaded later."""

    def totals(self, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
        """By stream."""

    def living_keys(self, stream: Stream) -> int:
        """Keys in the stream's raw table that are not gone."""

    def costs(self) -> Costs | None:
        """What was metered this month; None where nothing is."""

    def copied(self, streams: Sequence[Stream]) -> list[Copied] | None:
        """What the warehouse itself says of the files that it took up; None where loading is ours alone."""

    def versions(
        self, stream: Stream, kinds: Sequence[str], rows: Sequence[RowColumn], folder: Path
    ) -> AbstractContextManager[Versions]:
        """The latest version of each key in the stream's raw table, of which there may be none.

        Args:
            kinds: how each key column becomes text, see `adventure.core.key_kinds`.
            rows: the columns to compare besides key and cursor; none, unless whole rows are compared.
            folder: on this machine, for as long as they are looked at.

        Raises:
            ConfigError: this warehouse does not compare whole rows.
        """

    def copy_suspects(
        self,
        stream: Stream,
        kinds: Sequence[str],
        rows: Sequence[RowColumn],
        scratch: Path,
        *,
        without: Collection[str] = (),
    ) -> bool:
        """Copies what the warehouse and the stage have of the keys in table `suspects` of the DuckDB file `scratch`.

        Into its tables `held` and `rejected`, which `destinations/duckdb/versions.py` describes, and `staged`, which is
        looked at first: a window goes from the stage to the warehouse, never back, so that none is overlooked.

        Args:
            without: ids of windows that are passed over, as if they were not staged.

        Returns:
            Whether every window in the stage can be loaded. The rows of a damaged one are not looked at.
        """

    def lateness(self, stream: Stream, kinds: Sequence[str], bounds: Sequence[int]) -> dict[int, int]:
        """Rows that landed below their window's low, by the number of the first of `bounds` (microseconds) that holds
        by how much; those above all bounds have the next number.
        """

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Reads."""
