"""Convert the rows of one extract of a PostgreSQL table, drop versions that were staged already, and write Parquet.

Independent of where batches come from and of how rejected rows are handled.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from adventure.core.clock import earlier
from adventure.core.files import LocalFile, ParquetParts, writing
from adventure.core.kernels import call, cast
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.resolution import Measure, Resolution


@dataclass
class RowWriter:
    """Writes the files of one extract, and measures the cursors in them."""

    plan: Plan
    folder: Path
    lookback: timedelta
    deduplicator: Deduplicator
    delta: bool
    """See `ParquetParts`."""
    hashed: bool = False
    """Whether each row ends with its hash (see `Plan.select`), which identifies versions instead of the cursor."""
    known: Resolution | None = None
    """The resolution of the cursor that was known before."""
    last_before: datetime | None = None
    """The last value of the window before."""
    last: datetime | None = None
    """The largest cursor value within the window."""
    rejected: int = 0
    """Rows that cannot be converted."""

    def __post_init__(self) -> None:
        columns = self.plan.columns
        self.measure = Measure(self.known, self.plan.step, self.last_before)
        self._parts = ParquetParts(
            self.folder,
            self.plan.schema,
            [column.name for column in columns if column.low_cardinality],
            delta=self.delta,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows of the window."""
        whole, converted, hashes = self._convert(batch)
        # Count the cursors of rejected rows as well, because these rows were read.
        cursors = self._cursors(whole)
        self.measure.add(cursors)
        largest = call("max", cursors).as_py()
        self.last = max(filter(None, (self.last, largest)), default=None)
        if self.lookback and self.last:
            floor = earlier(self.last, self.lookback)
            converted = self._only_new(converted, hashes, floor)
            self.deduplicator.forget(floor)
        with writing(self.folder):
            self._parts.write(converted)

    def write_old(self, batch: pa.RecordBatch) -> None:
        """Write rows below the window that no window held. They do not move the watermark."""
        with writing(self.folder):
            self._parts.write(self._convert(batch)[1])

    def write_referred(self, batch: pa.RecordBatch) -> None:
        """Write rows past the horizon, each version once. They do not move the watermark."""
        _, converted, hashes = self._convert(batch)
        with writing(self.folder):
            self._parts.write(self._only_new(converted, hashes, datetime.min))

    def close(self) -> tuple[LocalFile, ...]:
        """Finish the files and return them."""
        with writing(self.folder):
            return self._parts.close()

    def _convert(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch, pa.Array | None]:
        """Convert a batch.

        Returns:
            The batch with NULL for each value that cannot be converted, the batch without the rows that have one, and
            the hashes of the latter.
        """
        columns, rejected = [], []
        hashes = batch.columns[-1] if self.hashed else None
        sources = batch.columns[:-1] if self.hashed else batch.columns
        for values, column in zip(sources, self.plan.columns, strict=True):
            converted, is_rejected = column.convert(values)
            columns.append(converted)
            rejected += [is_rejected] if is_rejected is not None else []
        for column in self.plan.nullable_key:
            values = batch.columns[self.plan.columns.index(column)]
            rejected += [values.is_null()] if values.null_count else []
        converted = pa.RecordBatch.from_arrays(columns, schema=self.plan.schema)
        if not rejected:
            return converted, converted, hashes
        any_rejected = rejected[0]
        for is_rejected in rejected[1:]:
            any_rejected = call("or", any_rejected, is_rejected)
        self.rejected += call("sum", any_rejected).as_py()
        good = call("invert", any_rejected)
        return converted, converted.filter(good), hashes.filter(good) if hashes is not None else None

    def _cursors(self, batch: pa.RecordBatch) -> pa.Array:
        """Return the cursors as timestamps: a date is the beginning of its day."""
        values = batch.column(self.plan.cursor_position)
        return cast(values, pa.timestamp("us")) if self.plan.is_date else values

    def _only_new(self, batch: pa.RecordBatch, hashes: pa.Array | None, floor: datetime) -> pa.RecordBatch:
        """Drop the rows that were staged already: same key, same cursor, and the same hash where there is one.

        Rows below the floor are not read again. In a first load that is nearly every row, so the check is skipped.
        """
        cursors = self._cursors(batch)
        indices = pa.array(range(len(batch)), pa.uint64())
        if not len(self.deduplicator):
            indices = call("indices_nonzero", call("greater_equal", cursors, pa.scalar(floor, cursors.type)))
        some = batch.take(indices)
        keys = zip(*(some.column(position).to_pylist() for position in self.plan.key_positions), strict=True)
        moments = self._cursors(some).to_pylist()
        versions = moments if hashes is None else hashes.take(indices).to_pylist()
        old = [
            index
            for index, key, moment, version in zip(indices.to_pylist(), keys, moments, versions, strict=True)
            if not self.deduplicator.is_new(key, moment, version)
        ]
        if not old:
            return batch
        kept = [True] * len(batch)
        for index in old:
            kept[index] = False
        return batch.filter(pa.array(kept))
