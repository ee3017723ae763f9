"""What one extract of a PostgreSQL table gathers: rows as their columns carry them, each version once, as Parquet.

This room must not know where the batches come from, nor what becomes of the rows that no column can carry.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from adventure.core.files import LocalFile, ParquetParts, writing
from adventure.sources.deduplicator import Seen
from adventure.sources.postgres.plan import Plan


@dataclass
class Reading:
    """What one extract has gathered so far."""

    plan: Plan
    folder: Path
    lookback: timedelta
    seen: Seen
    delta: bool
    """As `ParquetParts` takes it."""
    last: datetime | None = None
    """The largest cursor value within the window."""
    bad: int = 0
    """Rows that cannot be carried."""

    def __post_init__(self) -> None:
        columns = self.plan.columns
        self._parts = ParquetParts(
            self.folder,
            self.plan.schema,
            [column.name for column in columns if column.low_cardinality],
            delta=self.delta,
        )

    def take(self, batch: pa.RecordBatch) -> None:
        """Rows of the window."""
        whole, carried = self._carry(batch)
        # Of the rows that are set aside as well: they are read.
        largest = pc.max(whole.column(self.plan.cursor_position)).as_py()
        self.last = max(filter(None, (self.last, largest)), default=None)
        if self.lookback and self.last:
            carried = self._only_new(carried, self.last - self.lookback)
            self.seen.forget(self.last - self.lookback)
        with writing(self.folder):
            self._parts.write(carried)

    def take_old(self, batch: pa.RecordBatch) -> None:
        """Rows below the window, which no window has had: they move no watermark."""
        with writing(self.folder):
            self._parts.write(self._carry(batch)[1])

    def take_referred(self, batch: pa.RecordBatch) -> None:
        """Rows past the horizon: they move no watermark, and one that stays there comes once."""
        with writing(self.folder):
            self._parts.write(self._only_new(self._carry(batch)[1], datetime.min))

    def close(self) -> tuple[LocalFile, ...]:
        """The finished files."""
        with writing(self.folder):
            return self._parts.close()

    def _carry(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The batch as Arrow, with NULL for what cannot be carried; and without the rows of which that is true."""
        columns, unfit = [], []
        for values, column in zip(batch.columns, self.plan.columns, strict=True):
            carried, bad = column.carry(values)
            columns.append(carried)
            unfit += [bad] if bad is not None else []
        for column in self.plan.nullable_key:
            values = batch.columns[self.plan.columns.index(column)]
            unfit += [values.is_null()] if values.null_count else []
        carried = pa.RecordBatch.from_arrays(columns, schema=self.plan.schema)
        if not unfit:
            return carried, carried
        any_bad = unfit[0]
        for bad in unfit[1:]:
            any_bad = pc.or_(any_bad, bad)
        self.bad += pc.sum(any_bad).as_py()
        return carried, carried.filter(pc.invert(any_bad))

    def _only_new(self, batch: pa.RecordBatch, floor: datetime) -> pa.RecordBatch:
        """Without the rows that were staged already: same key, same cursor, hence the same version.

        Rows below the floor are not read again; in a first load, which is nearly all of them, none is looked at.
        """
        cursors = batch.column(self.plan.cursor_position)
        looked_at = pa.array([True] * len(cursors), pa.bool_()) if len(self.seen) else pc.greater_equal(cursors, floor)
        indices = pc.indices_nonzero(looked_at)
        some = batch.take(indices)
        keys = zip(*(some.column(position).to_pylist() for position in self.plan.key_positions), strict=True)
        moments = some.column(self.plan.cursor_position).to_pylist()
        old = [
            index
            for index, key, moment in zip(indices.to_pylist(), keys, moments, strict=True)
            if not self.seen.is_new(key, moment, moment)
        ]
        return (
            batch.filter(pc.invert(pc.is_in(pa.array(range(len(batch))), pa.array(old, pa.int64())))) if old else batch
        )
