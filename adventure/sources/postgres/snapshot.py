"""One snapshot of a PostgreSQL database: each of its streams is read from it in the way that its mode says.

A snapshot does not connect: its source does, which also remembers what the last snapshots staged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from adventure.core.clock import earlier
from adventure.core.errors import AdventureError, SourceError, SourceUnavailable
from adventure.core.files import LocalFile, Reject, write_rejects, writing
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.access import with_remedy
from adventure.sources.postgres.appended import AppendedRows
from adventure.sources.postgres.clock_steps import Floors
from adventure.sources.postgres.growing import Growing, begin
from adventure.sources.postgres.horizon import Horizon
from adventure.sources.postgres.log.cycle import LogCycle
from adventure.sources.postgres.log.rows import LogRows
from adventure.sources.postgres.plan import Plan, refers
from adventure.sources.postgres.relations import Relation
from adventure.sources.postgres.resolution import (
    DAYS,
    TIES,
    Resolution,
    coarser,
    known_resolution,
    last_value,
    lookback,
    shown,
    whole_units,
)
from adventure.sources.postgres.table_rows import TableRows
from adventure.sources.postgres.whole_table import WholeTable
from adventure.sources.postgres.writer import RowWriter
from adventure.sources.postgres.zone import UNSEEN
from adventure.sources.source import Extract

if TYPE_CHECKING:
    from adventure.sources.postgres.source import PostgresSource

_TICK = timedelta(microseconds=1)


@dataclass
class PostgresSnapshot:
    """A horizon, and the snapshot that was taken after it."""

    horizon_read: Horizon
    """The horizon as the server told it, with its clock and the reason why it is unknown."""
    plans: dict[str, Plan]
    relations: dict[str, Relation]
    unreadable: dict[str, SourceError]
    marks: Mapping[str, Watermark]
    source: "PostgresSource"
    floors: Floors
    log: LogCycle
    horizons: Mapping[str, datetime]
    """For each stream, the lowest cursor that a row may still get from the horizon on."""
    database: Origin
    unlocked: Mapping[str, str | None]
    """Streams whose tables could not be locked, with what `PostgresSource.fingerprint` returned."""
    doubted: Set[str]
    """Streams whose cursor has no zone, and no row has shown it."""
    growing: Mapping[str, Growing]
    """For streams in append mode, how far ids were handed out."""
    tick: timedelta = _TICK

    def __post_init__(self) -> None:
        self.horizon, self.mode = self.horizon_read.moment, self.horizon_read.mode

    def origin(self, stream: Stream) -> Origin:
        """Return the database, which all streams of the snapshot share."""
        return self.database

    def end(self, stream: Stream) -> datetime:
        """Return the end of the stream's window, in the zone of its cursor; see `SourceSnapshot`."""
        if stream.has_read_at:
            # A row that commits late is in the next snapshot, or named by the log, whatever the horizon was.
            return self.horizon_read.clock
        plan = self.plans[stream.name]
        return whole_units(self.horizons[stream.name], plan.step, self._resolution(stream))

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Write the stream's rows as Parquet; see `SourceSnapshot`."""
        self.source.set_savepoint()
        try:
            return self._extract(stream, folder)
        except SourceError as error:
            raise with_remedy(error, error.__cause__) from error

    def _rows(self, stream: Stream, folder: Path) -> TableRows:
        """Return the rows of a table without a cursor, as they are now.

        They get the snapshot's time, or the one after the last window's if the server's clock was set back.
        """
        mark, read_at = self.marks.get(stream.name), self.end(stream) - _TICK
        plan = self.plans[stream.name].at(max(read_at, mark.value) if mark else read_at)
        return TableRows(plan, self.source.batches, self.source.rejects, folder, self.source.delta)

    def _extract_whole(self, stream: Stream, folder: Path) -> Extract:
        """Compare the whole table with what was staged, at most once in the stream's interval."""
        mark = self.marks.get(stream.name)
        if not self.source.is_due(stream):
            return Extract(
                (), None, (), None, mode=mark.mode if mark else None, position=mark.position if mark else None
            )
        table = WholeTable(self._rows(stream, folder), mark)
        extract = table.replace() if stream.is_replaced else table.compare(self.source.baseline)
        self._check_unchanged(stream)
        if not extract.all_files:
            self.source.was_read(stream)
        return extract

    def _extract_by_log(self, stream: Stream, folder: Path) -> Extract:
        """Stage the rows whose keys the log has, or all of them."""
        cycle, relation = self.log, self.relations[stream.name]
        rows = LogRows(
            self._rows(stream, folder), cycle.access.types[stream.name], cycle.position(stream.name).to_text()
        )
        table = cycle.followed.get(stream.name)
        if table is None:
            extract = rows.read_all(cycle.handovers[stream.name])
        else:
            added = [each for each in relation.members if each.oid in cycle.added(stream.name)]
            more = self.source.lies_in(self.plans[stream.name], relation, added) if added else None
            extract = rows.read_keys(table.keys, more, is_unique=stream.name in cycle.access.unique)
        self._check_unchanged(stream)
        if not extract.all_files:
            cycle.done.add(stream.name)
        return extract

    def _extract_appended(self, stream: Stream, folder: Path) -> Extract:
        """Stage the rows with new ids that are safe to read."""
        mark, relation, growing = self.marks.get(stream.name), self.relations[stream.name], self.growing[stream.name]
        rows = self._rows(stream, folder)
        position = begin(mark, rows.plan, relation)
        appended = AppendedRows(rows, growing, self.horizon_read, mark, relation.position)
        new = relation.new_since(position.parts)
        if new:
            self.source.warn_of_attached(stream, new)
        extract = appended.read(position, self.source.lies_in(rows.plan, relation, new) if new else None)
        self._check_unchanged(stream)
        self.source.was_sampled(stream, growing)
        return extract

    def _extract(self, stream: Stream, folder: Path) -> Extract:
        # Its mode may be the one that was chosen for this cycle.
        stream = self.plans[stream.name].stream
        if stream.is_append:
            return self._extract_appended(stream, folder)
        if stream.is_log:
            return self._extract_by_log(stream, folder)
        if stream.is_snapshot:
            return self._extract_whole(stream, folder)
        plan, mark, below = self.plans[stream.name], self.marks.get(stream.name), self._lookback(stream)
        known = self._resolution(stream)
        # After the clock was set back, a coarse value occurs twice, and a row may have changed in between.
        twice = plan.step > _TICK and self.floors.below_watermark(stream.name) > timedelta(0)
        hashed = twice or (known is not None and known.unit > plan.step)
        deduplicator = self.source.deduplicator(stream, below)
        last = last_value(mark, known, plan.step) if mark else None
        writer = RowWriter(plan, folder, below, deduplicator, self.source.delta, hashed, known, last)
        conditions = [self._window(plan, "t")]
        self._read(plan, conditions[0], writer.write, hashed=hashed)
        if mark and (news := writer.measure.news):
            # Earlier windows were read as if their values were finer, so read the rows that they may have missed.
            read_from = earlier(mark.value, below)
            conditions.append(plan.between(earlier(read_from, news.longest), read_from))
            self._read(plan, conditions[-1], writer.write, hashed=hashed)
        found = DAYS if plan.is_date else coarser(writer.measure.resolution, plan.by_default)
        if old := self._old(plan, "t"):
            conditions.append(old)
            self._read(plan, old, writer.write_old, hashed=hashed)
        if past := self._past(plan, "t"):
            conditions.append(past)
            self._read(plan, past, writer.write_referred, hashed=hashed)
        files = writer.close()
        # Look for rows with an unusable cursor in the first window only. Query the window again only if it had rejects.
        suspects = [
            *(conditions if writer.rejected else ()),
            *(() if stream.name in self.marks else (plan.in_no_window,)),
        ]
        with writing(folder):
            rejects = self._write_rejects(plan, writer, suspects, folder)
        relation = self.relations[stream.name]
        self._check_unchanged(stream)
        mode = f"lookback: {relation.unsure}" if relation.unsure and self.mode == "horizon" else self.mode
        if mode == "horizon" and mark and mark.mode.startswith("lookback") and self.end(stream) < mark.value:
            # An open transaction may still write below the watermark, which moved while the horizon was unknown.
            mode = "lookback: a transaction is open that began while the horizon was unknown"
        mode = shown(mode, plan.step, found) + (f", {UNSEEN}" if stream.name in self.doubted else "")
        return Extract(
            files,
            rejects,
            tuple(column.column for column in plan.columns),
            writer.last,
            self.source.notes(plan, new=bool(files or rejects)),
            mode=(f"{mode}, {stream.zone}" if stream.zone != "UTC" else mode) + self.floors.note(stream.name),
            position=self.floors.position(stream.name, relation.position, is_staged=bool(files or rejects)),
            ordered=hashed,
        )

    def goes_on_after(self, error: AdventureError) -> bool:
        """Go back to the savepoint before the extract, which keeps snapshot and locks; see `SourceSnapshot`."""
        return not isinstance(error, SourceUnavailable) and self.source.rolls_back_to_savepoint()

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the rows with these keys as Parquet; see `SourceSnapshot`."""
        plan = self.plans[stream.name]
        if stream.has_read_at:
            # A repaired row is as new as the last snapshot. The one that is loaded last counts.
            plan = plan.at(earlier(self.marks[stream.name].value, _TICK))
        writer = RowWriter(plan, folder, timedelta(0), Deduplicator(), self.source.delta)
        condition = plan.with_keys(keys, below)
        self._read(plan, condition, writer.write)
        files = writer.close()
        with writing(folder):
            rejects = self._write_rejects(plan, writer, [condition] if writer.rejected else [], folder)
        self._check_unchanged(stream)
        return Extract(files, rejects, tuple(column.column for column in plan.columns), writer.last)

    def _check_unchanged(self, stream: Stream) -> None:
        """Check after the read that a table without our lock is still the one that was planned.

        A table that was rewritten or truncated before the read looks empty to the snapshot. The read itself locked the
        table until the end of the transaction.
        """
        relation = self.relations[stream.name]
        if stream.name in self.unlocked and self.unlocked[stream.name] != self.source.fingerprint(relation):
            raise SourceError(
                f"stream {stream.name}: {stream.location} was altered or truncated while it was read",
                "No action is needed: the next cycle reads it again",
            )

    def _read(
        self, plan: Plan, condition: str, write: Callable[[pa.RecordBatch], None], *, hashed: bool = False
    ) -> None:
        """Read the rows under the condition with prefetch, and pass each batch to `write`."""
        with self.source.batches(plan, plan.select(condition, hashed=hashed)) as batches:
            for batch in batches:
                write(batch)

    def _resolution(self, stream: Stream) -> Resolution | None:
        """Return the cursor's resolution that was found when the watermark last moved."""
        return known_resolution(self.marks.get(stream.name), is_date=self.plans[stream.name].is_date)

    def _lookback(self, stream: Stream) -> timedelta:
        """Return how far below the watermark to read.

        If the horizon was unknown, the previous window may have missed open transactions, so overlap it once more.
        """
        mark, unsure = self.marks.get(stream.name), self.relations[stream.name].unsure
        if mark is None and self.plans[stream.name].is_date:
            # Remember the rows of the last day, which is read again.
            return TIES
        was_unknown = mark is not None and mark.mode.startswith("lookback")
        horizon_unknown = self.mode.startswith("lookback") or bool(unsure) or was_unknown
        usual = lookback(stream, mark, step=self.plans[stream.name].step, horizon_unknown=horizon_unknown)
        return usual + self.floors.below_watermark(stream.name)

    def _window(self, plan: Plan, alias: str) -> str:
        """Return the condition for rows from the watermark, less the lookback, up to the horizon."""
        mark = self.marks.get(plan.stream.name)
        low = earlier(mark.value, self._lookback(plan.stream)) if mark else None
        return plan.between(low, self.end(plan.stream), alias)

    def _old(self, plan: Plan, alias: str) -> str | None:
        """Return the condition for rows below the window that no window held, such as those of an attached partition.

        They were committed before the partition was attached, so this snapshot sees all of them.
        """
        mark = self.marks.get(plan.stream.name)
        if mark is None or not (lies_in := self.source.attached(plan, self.relations[plan.stream.name], mark)):
            return None
        return f"({plan.between(None, earlier(mark.value, self._lookback(plan.stream)), alias)} and {lies_in(alias)})"

    def _past(self, plan: Plan, alias: str) -> str | None:
        """Return the condition for rows at or past the horizon to which staged rows refer; None if no stream refers.

        An order that was inserted below the horizon and updated above it is no longer in its window, but its lines are.
        It is staged with them, and again in the next window, since the watermark stays at the horizon. Referred rows
        below the watermark were staged before.
        """
        referring = []
        for child in self.plans.values():
            if plan.stream.name in child.stream.references:
                inner = alias + "_"
                conditions = (self._window(child, inner), self._old(child, inner), self._past(child, inner))
                staged = " or ".join(filter(None, conditions))
                referring.append(
                    f"exists (select from {child.relation} as {inner}"
                    f" where ({staged}) and {refers(child, plan, inner, alias)})"
                )
        return f"({plan.past(self.end(plan.stream), alias)} and ({' or '.join(referring)}))" if referring else None

    def _write_rejects(self, plan: Plan, writer: RowWriter, suspects: list[str], folder: Path) -> LocalFile | None:
        """Find the rows under these conditions that cannot be converted, in the same snapshot, and write them."""
        if not suspects:
            return None
        found = 0

        def only_new() -> Iterator[Reject]:
            nonlocal found
            for reject in self.source.rejects(plan, " or ".join(suspects)):
                found += 1
                if writer.deduplicator.is_new((reject.key, reject.reason), self.end(plan.stream), hash(reject.row)):
                    yield reject

        rejects = write_rejects(folder, only_new())
        if found < writer.rejected:
            raise SourceError(
                f"stream {plan.stream.name}: {writer.rejected:,} rows were rejected, and the server finds {found:,}",
                "This is a bug in Adventure; please report it. Nothing was staged",
            )
        return rejects
