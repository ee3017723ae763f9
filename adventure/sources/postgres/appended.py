"""Read the new rows of a table that only grows, in windows of a bounded number of rows."""

from dataclasses import dataclass

from adventure.core.files import empty_parquet, writing
from adventure.core.ids import Position
from adventure.core.watermark import Watermark
from adventure.sources.postgres.growing import Growing
from adventure.sources.postgres.horizon import Horizon
from adventure.sources.postgres.table_rows import TableRows
from adventure.sources.postgres.windows import ROWS_A_WINDOW
from adventure.sources.source import Extract

NOTE = "rows that are not read"
"""The name of the note, in the log and in window.json."""


@dataclass(frozen=True)
class AppendedRows:
    """The new rows of one table in the open snapshot of its source."""

    rows: TableRows
    growing: Growing
    horizon: Horizon
    mark: Watermark | None
    parts: str
    """See `Relation.position`."""

    def read(self, position: Position, attached: str | None) -> Extract:
        """Stage the rows from the position up to the id that is safe to read.

        Args:
            attached: the condition for rows of relations that were attached since, whatever their ids.

        Raises:
            SourceError: the source failed.
        """
        low, end = position.below, self.growing.end(self.horizon)
        high, more = low, False
        if end is not None and (low is None or end > low):
            limit = self._limit(low, end)
            high, more = (end, False) if limit is None else (limit, True)
            self.rows.read(self.growing.between(low, high))
        if attached and low is not None:
            self.rows.read(f"({self.growing.between(None, low)} and {attached})")
        rejects, folder = self.rows.rejects(), self.rows.folder
        with writing(folder):
            files = self.rows.writer.close()
            if not files and not rejects and self.mark is None:
                # Without a first window there is no watermark that could keep the samples.
                files = (empty_parquet(folder, self.rows.plan.schema),)
        samples = tuple(each for each in self.growing.samples if high is None or each.below > high)
        kind, mode = self.growing.kind, self.growing.mode(self.horizon)
        return Extract(
            files,
            rejects,
            tuple(column.column for column in self.rows.plan.columns),
            self.rows.read_at,
            {NOTE: self.growing.note} if self.growing.note and (files or rejects) else {},
            mode=mode if high is None else f"{mode}, below {kind.text(high)}",
            position=Position(high, samples, self.parts).to_text(kind),
            more=more,
            ordered=True,
        )

    def _limit(self, low: int | None, end: int) -> int | None:
        """Return the first id of the next window; None if one window holds all rows."""
        plan, name = self.rows.plan, f"t.{self.growing.column}"
        query = (
            f"select {name}::text as id from {plan.source} as t where {self.growing.between(low, end)}"
            f" order by {name} offset {ROWS_A_WINDOW} limit 1"
        )
        with self.rows.batches(plan, query) as batches:
            found = [each for batch in batches for each in batch.columns[0].to_pylist()]
        return self.growing.kind.number(found[0]) if found else None
