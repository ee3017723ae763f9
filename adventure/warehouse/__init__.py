"""Raw tables, the tasks that fill them from the stages, the dbt models above them, and what is published of these.

One seam, two implementations: DuckDB (embedded) and Snowflake. This room reads what the stages promise and must not
know how the files came there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, Self

from adventure.errors import ConfigError
from adventure.settings import Settings
from adventure.streams import Stream

Outcome = Literal["succeeded", "failed", "skipped"]


@dataclass(frozen=True)
class Done:
    """What a piece of work moved."""

    rows: int = 0
    files: int = 0
    message: str = ""


@dataclass(frozen=True)
class TaskRun:
    """One run of one task, as `raw_ext.task_history` keeps it. Times are naive UTC."""

    name: str
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    rows: int = 0
    files: int = 0
    message: str = ""
    """Why it failed or was skipped, or what it did."""


@dataclass(frozen=True)
class StreamTotals:
    """How much of a stream is in the warehouse, by the ledger."""

    rows: int
    rejected: int
    last_loaded_at: datetime | None
    """Naive UTC."""
    window_ids: frozenset[str]
    """The windows in the stage of which every file is loaded: those that the next cleanup removes."""


class Warehouse(Protocol):
    """What the tasks, the commands and the checks need of a warehouse.

    Leaving its context gives back what it holds open. Every method raises WarehouseBusy when another process keeps
    the warehouse for too long, and WarehouseError when the warehouse fails.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def create_tables(self) -> None:
        """Makes the ledger and the shipped streams' raw tables where they are missing."""

    def load(self, stream: Stream) -> Done | None:
        """Loads each staged file that the ledger does not hold; None when there is none.

        Rows, rejected rows and ledger entries of a window commit together, or not at all. Damaged windows do not
        keep the others from being loaded.

        Raises:
            StageDamaged: a file is not what its window.json promises.
            SchemaDrift: a column no longer fits; neither that window nor a later one was loaded.
        """

    def cleanup(self, stream: Stream) -> Done | None:
        """Removes the staged windows of which the ledger holds every row, and nothing else; None when there is none."""

    def build(self, *, full_refresh: bool = False) -> Done:
        """Builds and tests the dbt models.

        Raises:
            BuildFailed: a model or a test failed; names them.
        """

    def publish(self) -> Done:
        """Puts what the dashboard shows where it reads it, all at once."""

    def record(self, run_id: str, run: TaskRun) -> None:
        """Keeps a task's run in `raw_ext.task_history`; runs older than a week are dropped."""

    def last_runs(self) -> list[TaskRun]:
        """The last recorded run of each task, oldest first."""

    def stream_totals(self) -> dict[str, StreamTotals]:
        """By the stream's name; every stream of the pipeline is in it."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement, its values bound to `?`."""


def open_warehouse(settings: Settings, streams: tuple[Stream, ...]) -> Warehouse:
    """The chosen warehouse."""
    if settings.warehouse == "duckdb":
        from adventure.warehouse.duckdb import DuckDbWarehouse

        return DuckDbWarehouse(settings, streams)
    raise ConfigError("WAREHOUSE=snowflake is not available in this version", "Set WAREHOUSE=duckdb")
