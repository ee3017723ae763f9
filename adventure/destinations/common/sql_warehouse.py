"""The parts of `Warehouse` that both warehouses share. A warehouse adds its load, its publication and its dialect."""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.common import report
from adventure.destinations.common.build import fingerprint, target_dir
from adventure.destinations.common.builds import needed_scope, read_history_stamp, record_build
from adventure.destinations.common.dbt_results import read_results
from adventure.destinations.common.ledger import SqlLedger
from adventure.destinations.common.raw_tables import SqlRawTables
from adventure.destinations.common.selection import LoadedTables, read_loaded_tables
from adventure.destinations.common.task_history import SqlTaskHistory
from adventure.destinations.warehouse import SCOPES, Scope


class SqlWarehouse(SqlLedger, SqlRawTables, SqlTaskHistory):
    """Ledger, task history, counts and builds over `execute`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @abstractmethod
    def run_dbt(self, scope: Scope, tables: LoadedTables) -> str:
        """Build and test the models of that scope that read these tables, and return a line that says what was built.

        Raises:
            BuildFailed: a model or a test failed.
        """

    def build(self, streams: Sequence[Stream], scope: Scope | None = None) -> str:
        """Build and test the dbt models in this process, and return a line that says what was built.

        Args:
            streams: models that read raw tables of other streams are left out.
            scope: the least that is built; see `needed_scope` for more.

        Raises:
            BuildFailed: a model or a test failed.
            CreditBudgetReached: nothing was built.
        """
        # Open DuckDB's file once: that takes longer than each of these statements.
        with self.reading():
            started_at, tables = utc_now(), read_loaded_tables(self.execute, streams)
            project = fingerprint(self._settings, tables.loaded)
            history_loaded_at = read_history_stamp(self.execute)
            needed = needed_scope(self.execute, project, today=started_at.date())
        built = max(needed, scope or needed, key=SCOPES.index)
        message = self.run_dbt(built, tables)
        if built != "increment":
            record_build(self.execute, started_at, project, history_loaded_at)
        return message

    def waiting_windows(self, stage: Stage, stream: Stream, without: Collection[str]) -> list[Window]:
        """Return the stream's staged windows that are not loaded, except those with an id in `without`."""
        windows = [window for window in stage.windows(stream.stage) if window.stream == stream.name]
        passed_over = self.loaded(windows) | set(without)
        return [window for window in windows if window.id not in passed_over]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Do nothing: many clients may use the warehouse at a time."""
        yield

    def stream_states(self, stage: Stage, streams: Sequence[Stream]) -> list[dict[str, Any]]:
        """Return what the report would say of each stream now, without the number of raw rows."""
        return report.stream_states(self.execute, self.dialect, stage, streams)

    def task_states(self) -> list[tuple[Any, ...]]:
        """Return what the report would say of each task now."""
        return report.task_states(self.execute)

    def test_results(self) -> list[tuple[Any, ...]]:
        """Return what the report would say of the failed tests."""
        return list(read_results(target_dir(self._settings)).failed)

    def freshness(self) -> list[tuple[Any, ...]]:
        """Return what the report would say of the sources that declare a freshness."""
        return [tuple(row) for row in report.freshness_rows(self.execute, target_dir(self._settings)).rows]
