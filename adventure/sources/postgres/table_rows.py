"""Read rows of a table that has no cursor: their version is the time of the snapshot in which they are read."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from adventure.core.files import LocalFile, Reject, write_rejects, writing
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.writer import RowWriter

Batches = Callable[[Plan, str], AbstractContextManager[Iterator[pa.RecordBatch]]]


@dataclass
class TableRows:
    """The rows of one window, in the open snapshot of their source."""

    plan: Plan
    """See `Plan.at`."""
    batches: Batches
    """Runs a query in the snapshot."""
    find_rejects: Callable[[Plan, str], Iterator[Reject]]
    """Yields the rows under a condition that cannot be converted."""
    folder: Path
    delta: bool
    """Whether files use Parquet's delta encodings."""
    _rejecting: list[str] = field(default_factory=list)
    """Conditions under which rows were rejected."""

    @property
    def read_at(self) -> datetime:
        """The version of the rows."""
        assert self.plan.read_at
        return self.plan.read_at

    @cached_property
    def writer(self) -> RowWriter:
        """The writer of the window's files."""
        return RowWriter(self.plan, self.folder, timedelta(0), Deduplicator(), self.delta)

    def read(self, condition: str) -> int:
        """Write the rows under the condition; return their number.

        Raises:
            SourceError: the source failed.
        """
        rejected, rows = self.writer.rejected, 0
        with self.batches(self.plan, self.plan.select(condition)) as batches:
            for batch in batches:
                rows += batch.num_rows
                self.writer.write(batch)
        if self.writer.rejected > rejected:
            self._rejecting.append(condition)
        return rows

    def rejects(self) -> LocalFile | None:
        """Write the rows that were rejected; None if there is none."""
        if not self._rejecting:
            return None
        with writing(self.folder):
            return write_rejects(
                self.folder, (reject for each in self._rejecting for reject in self.find_rejects(self.plan, each))
            )
