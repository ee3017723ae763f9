"""The interface of a warehouse, as narrow protocols. A caller asks for the narrowest protocol that it needs.

DuckDB runs the tasks in this process; Snowflake runs the load and cleanup tasks itself.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from adventure.core.manifest import Window
from adventure.core.row_text import RowColumn
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.results import (
    Credits,
    LoadResult,
    RejectedRow,
    RemovedWindow,
    StreamTotals,
    TaskRun,
)

Execute = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a statement with values for its question marks and returns its rows."""

Scope = Literal["increment", "whole", "full refresh"]
"""What a build covers: the models that new sales change; every model and test; or every model rebuilt from the raw
tables."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""In ascending order: each scope includes the one before it."""

WITHOUT_CURSOR = -(2**63 - 1)
"""The cursor, in microseconds since 1970, of a rejected row that has none."""


class Executor(Protocol):
    """Runs SQL."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with values for its question marks and return its rows."""


class Loader(Protocol):
    """Moves rows from the stage into the raw tables."""

    def load_is_due(self) -> bool:
        """Return whether the task server has to run loads and cleanups. False where the warehouse schedules them."""

    def load(self, stream: Stream) -> LoadResult:
        """Load the stream's staged windows that are not in the ledger. A window's rows and entries commit together.

        Raises:
            StageDamaged: a staged file differs from its window.json. All other windows are loaded.
            SchemaDrift: a staged column no longer fits its raw table. The windows before it are loaded.
            TaskFailed: the warehouse's own task reported one of these.
        """

    def cleanup(self, stream: Stream) -> LoadResult:
        """Remove exactly the staged windows whose files are all in the ledger with the promised row counts."""


class Builder(Protocol):
    """Builds the dbt models."""

    def build(self, streams: Sequence[Stream], scope: Scope | None = None) -> str:
        """Build and test the dbt models, and return a line that says what was built.

        Args:
            streams: models that read raw tables of other streams are left out.
            scope: the least that is built. More is built where necessary: a full refresh after a load of the history,
                every model and test once a day and after a change of the dbt project.

        Raises:
            BuildFailed: a model or a test failed.
        """

    def build_is_due(self) -> bool:
        """Return whether, since the last successful build, sales or a history were loaded or a day has begun."""


class Publisher(Protocol):
    """Publishes the tables that the dashboard reads."""

    def publish(self) -> int:
        """Replace the published marts and return the number of their rows."""

    def publish_is_due(self) -> bool:
        """Return whether a build has succeeded since the last successful publish."""

    def publish_report(self, streams: Sequence[Stream], *, interval: float | None) -> None:
        """Replace the published state of the pipeline.

        Args:
            interval: seconds between two runs of the tasks; None when they are run by hand.
        """


class Ledger(Protocol):
    """The record of loaded files."""

    def loaded(self, windows: Iterable[Window]) -> set[str]:
        """Return the ids of the windows whose files are all in the ledger with the promised row counts."""

    def loaded_spans(self) -> dict[str, list[tuple[datetime | None, datetime]]]:
        """Return the spans of the cursor that the ledger holds, by stream. Adjoining windows are one span."""

    def loaded_window_ids(self, ids: Iterable[str]) -> set[str]:
        """Return the ids of which the ledger holds at least one file."""

    def totals(self, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
        """Return the ledger's totals by stream."""

    def record_removal(self, window: RemovedWindow) -> None:
        """Record that a window was removed from the stage because its rows are elsewhere."""


class RawTables(Protocol):
    """Counts over the raw tables."""

    def live_key_count(self, stream: Stream) -> int:
        """Return the number of keys in the stream's raw table whose latest row is not a tombstone."""

    def outstanding_rejects(self, stream: Stream, since: datetime) -> int:
        """Return how many keys were rejected since then and have no row in the raw table that was loaded later."""

    def rejected_rows(self, stream: Stream) -> list[RejectedRow]:
        """Return the latest rejection of each row of the stream, newest first."""


class Adopter(Protocol):
    """Takes over tables of other load scripts."""

    def adopt(self, stream: Stream, table: str | None) -> int:
        """Copy another table's rows into the stream's raw table, and return their number.

        Args:
            table: as `schema.table`; None for a table of another form that stands where the raw table has to be.

        Raises:
            ConfigError: there is nothing to take over, or this warehouse cannot do it.
        """


class TaskHistory(Protocol):
    """The record of task runs."""

    def record_runs(self, *runs: TaskRun) -> None:
        """Add runs to `raw_ext.task_history`, which keeps a fixed number of runs of each task and outcome."""

    def last_runs(self) -> list[TaskRun]:
        """Return the last run of each task, in the order in which they ended."""

    def failures_in_a_row(self) -> dict[str, tuple[int, str]]:
        """Return, by task whose last run failed, the failures since its last success and the last message."""


class Versions(Protocol):
    """The latest version of each live key of a stream at one moment. Cursors are microseconds since 1970."""

    def lowest(self) -> int | None:
        """Return the lowest cursor; None where no row has one."""

    def digests(self, low: int, high: int, width: int) -> list[tuple[int, int, int]]:
        """Return the piece's number, its rows and the sum of their hashes for each piece of `[low, high)`.

        A row's hash is the first 15 hexadecimal digits of the MD5 of its key, `|` and its cursor, as a number. Where
        rows are compared, `|` and the hash of the row's text follow the cursor (`adventure.core.row_text`).

        Args:
            width: the pieces' width in microseconds.
        """

    def between(self, low: int, high: int) -> Iterator[Sequence[tuple[str, int, str | None]]]:
        """Yield keys, cursors and, where rows are compared, the rows' hashes in `[low, high)`, in batches."""


class VersionReader(Protocol):
    """Reads the versions that reconcile compares with the source."""

    def versions(
        self, stream: Stream, kinds: Sequence[str], rows: Sequence[RowColumn], folder: Path
    ) -> AbstractContextManager[Versions]:
        """Open the latest version of each key in the stream's raw table; none where there is no raw table.

        Args:
            kinds: how each key column becomes text, see `adventure.core.key_kinds`.
            rows: the columns to compare besides key and cursor; empty unless whole rows are compared.
            folder: a local folder that exists until the versions are closed.

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
        """Copy the warehouse's and the stage's rows of the keys in table `suspects` of the DuckDB file `scratch`.

        The rows go into its tables `held` and `rejected`, which `destinations/duckdb/versions.py` describes, and
        `staged`. The stage is read first: windows move from the stage to the warehouse only, so that none is missed.

        Args:
            without: ids of windows to treat as not staged.

        Returns:
            Whether every window in the stage can be loaded. The rows of a damaged window are not read.
        """

    def lateness(self, stream: Stream, kinds: Sequence[str], bounds: Sequence[int]) -> dict[int, int]:
        """Return the number of rows that landed below their window's low, by class of lateness.

        Args:
            bounds: upper bounds of the classes in microseconds. The class after the last bound holds the rest.
        """


class Metering(Protocol):
    """Credits that the account metered."""

    def credits(self) -> Credits | None:
        """Return this month's credits; None where nothing is metered."""


class Warehouse(
    Loader, Builder, Publisher, Ledger, RawTables, Adopter, TaskHistory, VersionReader, Metering, Executor, Protocol
):
    """Everything that `adventure.factory.open_warehouse` returns."""

    def reading(self) -> AbstractContextManager[None]:
        """Read one state in the block where the warehouse can: DuckDB keeps every other command out of the file."""

    def stream_states(self, stage: Stage, streams: Sequence[Stream]) -> list[dict[str, Any]]:
        """Return what the report would say of each stream now, without the number of raw rows."""

    def task_states(self) -> list[tuple[Any, ...]]:
        """Return what the report would say of each task now."""

    def test_results(self) -> list[tuple[Any, ...]]:
        """Return what the report would say of the failed tests."""

    def freshness(self) -> list[tuple[Any, ...]]:
        """Return what the report would say of the sources that declare a freshness."""

    def create_tables(self) -> None:
        """Create the ledger, the task history and the shipped raw tables where they are missing."""
