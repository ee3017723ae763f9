"""The readers beside the writers: the processor in tight cycles, and the yardstick."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.factory import open_warehouse
from adventure.processor.cycle import Pipeline, run_cycle
from adventure.processor.state import State
from adventure.reconcile.run import reconcile
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.reader import Reader
from adventure.sources.postgres.source import PostgresSource


class Processor:
    """The real processor in tight cycles; every window is checked when it is staged."""

    def __init__(self, settings: Settings, streams: Sequence[Stream]) -> None:
        self._settings, self._streams = settings, tuple(streams)
        self.staged: tuple[dict[int, set[int]], dict[int, set[int]]] = ({}, {})
        self.latest: tuple[dict[int, tuple[datetime, int]], dict[int, tuple[datetime, int]]] = ({}, {})
        self.orphans = self.cycles = self.rows_read = self.rows_staged = 0
        self.read_up_to = datetime.min
        self.failure: BaseException | None = None

    def run(self, stop: threading.Event, drained_at: Callable[[], datetime]) -> None:
        """Run cycles until the writers stop, and then until everything has been read."""
        try:
            with self._open() as pipeline:
                stopped = False
                while not stopped or self.read_up_to <= drained_at():
                    # A cycle that began before the last commit does not count.
                    stopped = stop.is_set()
                    self._cycle(pipeline)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.failure = error

    def detected(self) -> int:
        """Load the staged windows, and return how many missing rows `adventure reconcile` finds."""
        warehouse = open_warehouse(self._settings)
        for stream in self._streams:
            warehouse.load(stream)
        results = [report.result for report in reconcile(self._settings, self._streams)]
        return sum(result.count(verdict) for result in results if result for verdict in ("missing", "stale", "behind"))

    def _cycle(self, pipeline: Pipeline) -> None:
        report = run_cycle(pipeline)
        if report.failures:
            raise next(iter(report.failures.values()))
        self.cycles += 1

    @contextmanager
    def _open(self) -> Iterator[Pipeline]:
        processor = self

        class Watching(FolderStage):
            def commit(self, window: Window) -> None:
                super().commit(window)
                processor._check_window(window, [self.path(window, file.name) for file in window.files])

        class CountingReader(Reader):
            @contextmanager
            def batches(self, plan: Plan, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
                with super().batches(plan, query) as batches:
                    yield map(counted, batches)

        class Counting(PostgresSource):
            def __post_init__(self) -> None:
                super().__post_init__()
                self._reader.close()
                self._reader = CountingReader(self.settings)

            @contextmanager
            def open_snapshot(self, *arguments: Any) -> Iterator[Any]:
                with super().open_snapshot(*arguments) as snapshot:
                    yield snapshot
                # A window may end below the horizon: while a stream's zone is in doubt, an open transaction holds it.
                processor.read_up_to = min(snapshot.end(stream) for stream in processor._streams)

        def counted(batch: pa.RecordBatch) -> pa.RecordBatch:
            processor.rows_read += batch.num_rows
            return batch

        source = Counting(self._settings)
        try:
            with State(self._settings, self._streams) as state:
                stage = Watching(self._settings.stage_dir)
                yield Pipeline(tuple(self._streams), {"postgres": source}, stage, state, self._settings.unfinished_dir)
        finally:
            source.close()

    def _check_window(self, window: Window, paths: list[Path]) -> None:
        """Record the window's rows; count lines whose order is not staged yet."""
        which = 0 if window.stream == self._streams[0].name else 1
        for path in paths:
            table = pq.read_table(path)
            self.rows_staged += table.num_rows
            keys, versions, moments = (table.column(name).to_pylist() for name in ("id", "version", "changed_at"))
            for key, version, moment in zip(keys, versions, moments, strict=True):
                self.staged[which].setdefault(key, set()).add(version)
                self.latest[which][key] = max(self.latest[which].get(key, (moment, 0)), (moment, version))
            if which == 1:
                self.orphans += sum(order not in self.staged[0] for order in table.column("order_id").to_pylist())


class MaxCursorPoller:
    """`cursor > the largest seen`, which loses what commits late."""

    def __init__(self, dsn: str, tables: Sequence[str]) -> None:
        self._dsn, self._tables = dsn, tables
        self.staged: tuple[dict[int, set[int]], ...] = tuple({} for _ in tables)

    def run(self, stop: threading.Event) -> None:
        """Poll until the writers stop, and once more."""
        largest = [datetime.min] * len(self._tables)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            last = False
            while not last:
                last = stop.is_set()
                for index, table in enumerate(self._tables):
                    query = f"select id, version, changed_at from {table} where changed_at > %s"
                    for key, version, moment in connection.execute(query, [largest[index]]):  # type: ignore[arg-type]
                        self.staged[index].setdefault(key, set()).add(version)
                        largest[index] = max(largest[index], moment)
                time.sleep(0.01)
