"""One snapshot of a PostgreSQL database: each of its streams is read from it in the way that its mode says.

A snapshot does not connect: its source does, which also remembers what the last snapshots staged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from adventure.core.clock import earlier
from adventure.core.errors import AdventureError, SourceError, SourceUnavailable
from adventure.core.files import LocalFile, Reject, write_rejects, writing
from adventure.core.streams import Stream
from adventure.core.watermark import Origin
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.access import with_remedy
from adventure.sources.postgres.appended import NOTE, AppendedRows
from adventure.sources.postgres.growing import Growing, begin
from adventure.sources.postgres.log.cycle import LogCycle
from adventure.sources.postgres.log.rows import LogRows
from adventure.sources.postgres.memory import Memory
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.reader import Reader
from adventure.sources.postgres.resolution import (
    DAYS,
    coarser,
    last_value,
    shown,
)
from adventure.sources.postgres.table_rows import TableRows
from adventure.sources.postgres.whole_table import WholeTable
from adventure.sources.postgres.windows import FIRST_LOAD, ROWS_A_WINDOW, Windows
from adventure.sources.postgres.writer import RowWriter
from adventure.sources.postgres.zone import UNSEEN
from adventure.sources.source import Extract

_TICK = timedelta(microseconds=1)


@dataclass
class PostgresSnapshot:
    """A horizon, and the snapshot that was taken after it."""

    reader: Reader
    memory: Memory
    windows: Windows
    log: LogCycle
    database: Origin
    unreadable: dict[str, SourceError]
    unlocked: Mapping[str, str | None]
    """Streams whose tables could not be locked, with their fingerprint before the snapshot (`Reader.fingerprint`)."""
    growing: Mapping[str, Growing]
    """For streams in append mode, how far ids were handed out."""
    tick: timedelta = _TICK

    def __post_init__(self) -> None:
        self.horizon, self.mode = self.windows.horizon.moment, self.windows.horizon.mode
        self._plans, self._relations, self._marks = self.windows.plans, self.windows.relations, self.windows.marks

    def origin(self, stream: Stream) -> Origin:
        """Return the database, which all streams of the snapshot share."""
        return self.database

    def end(self, stream: Stream) -> datetime:
        """Return the end of the stream's window; see `Windows.end`."""
        return self.windows.end(stream)

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Write the stream's rows as Parquet; see `SourceSnapshot`."""
        self.reader.set_savepoint()
        try:
            return self._extract(stream, folder)
        except SourceError as error:
            raise with_remedy(error, error.__cause__) from error

    def _rows(self, stream: Stream, folder: Path) -> TableRows:
        """Return the rows of a table without a cursor, as they are now.

        They get the snapshot's time, or the one after the last window's if the server's clock was set back.
        """
        mark, read_at = self._marks.get(stream.name), self.end(stream) - _TICK
        plan = self._plans[stream.name].at(max(read_at, mark.value) if mark else read_at)
        return TableRows(plan, self.reader.batches, self.reader.rejects, folder, self.reader.delta)

    def _extract_whole(self, stream: Stream, folder: Path) -> Extract:
        """Compare the whole table with what was staged, at most once in the stream's interval."""
        mark = self._marks.get(stream.name)
        if not self.memory.is_due(stream):
            return Extract(
                (), None, (), None, mode=mark.mode if mark else None, position=mark.position if mark else None
            )
        table = WholeTable(self._rows(stream, folder), mark)
        extract = table.replace() if stream.is_replaced else table.compare(self.memory.baseline)
        self._check_unchanged(stream)
        if not extract.all_files:
            self.memory.was_read(stream)
        return extract

    def _extract_by_log(self, stream: Stream, folder: Path) -> Extract:
        """Stage the rows whose keys the log has, or all of them."""
        cycle, relation = self.log, self._relations[stream.name]
        rows = LogRows(
            self._rows(stream, folder), cycle.access.types[stream.name], cycle.position(stream.name).to_text()
        )
        table = cycle.followed.get(stream.name)
        if table is None:
            extract = rows.read_all(cycle.handovers[stream.name])
        else:
            added = [each for each in relation.members if each.oid in cycle.added(stream.name)]
            more = self.reader.lies_in(self._plans[stream.name], relation, added) if added else None
            extract = rows.read_keys(table.keys, more, is_unique=stream.name in cycle.access.unique)
        self._check_unchanged(stream)
        if not extract.all_files:
            cycle.done.add(stream.name)
        return extract

    def _extract_appended(self, stream: Stream, folder: Path) -> Extract:
        """Stage the rows with new ids that are safe to read."""
        mark, relation, growing = self._marks.get(stream.name), self._relations[stream.name], self.growing[stream.name]
        rows = self._rows(stream, folder)
        position = begin(mark, rows.plan, relation)
        appended = AppendedRows(rows, growing, self.windows.horizon, mark, relation.position)
        new = relation.new_since(position.parts)
        if new:
            self.reader.warnings.of_attached(stream, new)
        extract = appended.read(position, self.reader.lies_in(rows.plan, relation, new) if new else None)
        self._check_unchanged(stream)
        self.memory.samples[stream.name] = growing.samples
        self.reader.warnings.of_growing(stream, NOTE, growing.note)
        return extract

    def _extract(self, stream: Stream, folder: Path) -> Extract:
        # Its mode may be the one that was chosen for this cycle.
        stream = self._plans[stream.name].stream
        if stream.is_append:
            return self._extract_appended(stream, folder)
        if stream.is_log:
            return self._extract_by_log(stream, folder)
        if stream.is_snapshot:
            return self._extract_whole(stream, folder)
        return self._extract_by_cursor(stream, folder)

    def _extract_by_cursor(self, stream: Stream, folder: Path, *, bounded: bool = True) -> Extract:
        """Stage the rows of the stream's window, and those that earlier windows have missed.

        Args:
            bounded: end the window of a first load after ROWS_A_WINDOW rows.
        """
        plan, mark, below = self._plans[stream.name], self._marks.get(stream.name), self.windows.lookback(stream)
        known, hashed = self.windows.resolution(stream), self.windows.is_hashed(stream)
        deduplicator = self.memory.deduplicator(stream, below)
        last = last_value(mark, known, plan.step) if mark else None
        writer = RowWriter(plan, folder, below, deduplicator, self.reader.delta, hashed, known, last)
        until = self._window_end(plan) if bounded else None
        suspects = self._read_window(plan, writer, below, until)
        if not (until or suspects):
            self._begin_after(stream)
        files = writer.close()
        with writing(folder):
            rejects = self._write_rejects(plan, writer, suspects, folder)
        self._check_unchanged(stream)
        is_staged = bool(files or rejects)
        if until and not is_staged:
            # Without a window the watermark would not move, and the next one would hold the same rows.
            return self._extract_by_cursor(stream, folder, bounded=False)
        return Extract(
            files,
            rejects,
            tuple(column.column for column in plan.columns),
            writer.last,
            self.reader.notes(plan, new=is_staged),
            mode=self._mode(plan, writer) + (f", {FIRST_LOAD}" if until else ""),
            position=self.windows.floors.position(
                stream.name, self._relations[stream.name].position, is_staged=is_staged
            ),
            ordered=hashed,
            more=until is not None,
        )

    def _begin_after(self, stream: Stream) -> None:
        """Let the server begin with the next stream, while the last rows of this one are written and staged.

        The next window depends only on the horizon and on its own watermark. Where it is not read, as after a failure
        of this stream, the query is cancelled. It is not begun where the cycle will leave the stream out, because it
        refers to one that is not read.
        """
        readable = [name for name in self._plans if name not in self.unreadable]
        later = readable[readable.index(stream.name) + 1 :]
        plan = self._plans[later[0]] if later else None
        if plan is None or plan.stream.has_read_at or not set(plan.stream.references) <= set(readable):
            return
        if not self.windows.is_first_load(plan.stream):
            self.reader.begin(plan, plan.select(self.windows.rows(plan), hashed=self.windows.is_hashed(plan.stream)))

    def _window_end(self, plan: Plan) -> datetime | None:
        """Return where the window of a first load ends because it has enough rows; None for the last one.

        Without an index each window would read the whole table, so it is then read in one.
        """
        if not plan.indexed or not self.windows.is_first_load(plan.stream):
            return None
        mark, end = self._marks.get(plan.stream.name), self.end(plan.stream)
        return self.reader.value_after(plan, ROWS_A_WINDOW, mark.value if mark else None, end)

    def _read_window(self, plan: Plan, writer: RowWriter, below: timedelta, until: datetime | None) -> list[str]:
        """Write the rows of the window; return the conditions under which some may have been rejected.

        Args:
            until: where the window ends before the horizon. Referred rows are then read with the last window.
        """
        mark = self._marks.get(plan.stream.name)
        conditions = [self.windows.rows(plan, below=until)]
        self._read(plan, conditions[0], writer.write, hashed=writer.hashed)
        if mark and (news := writer.measure.news):
            # Earlier windows were read as if their values were finer, so read the rows that they may have missed.
            read_from = earlier(mark.value, below)
            conditions.append(plan.between(earlier(read_from, news.longest), read_from))
            self._read(plan, conditions[-1], writer.write, hashed=writer.hashed)
        if old := self.windows.old_rows(plan):
            conditions.append(old)
            self._read(plan, old, writer.write_old, hashed=writer.hashed)
        if until is None and (referred := self.windows.referred_rows(plan)):
            conditions.append(referred)
            self._read(plan, referred, writer.write_referred, hashed=writer.hashed)
        # Look for rows with an unusable cursor in the first window only. Query the window again only if it had rejects.
        return [*(conditions if writer.rejected else ()), *(() if mark else (plan.in_no_window,))]

    def _mode(self, plan: Plan, writer: RowWriter) -> str:
        """Return how the window was read, for its watermark."""
        stream, unsure = plan.stream, self._relations[plan.stream.name].unsure
        mark = self._marks.get(stream.name)
        mode = f"lookback: {unsure}" if unsure and self.mode == "horizon" else self.mode
        if mode == "horizon" and mark and mark.mode.startswith("lookback") and self.end(stream) < mark.value:
            # An open transaction may still write below the watermark, which moved while the horizon was unknown.
            mode = "lookback: a transaction is open that began while the horizon was unknown"
        found = DAYS if plan.is_date else coarser(writer.measure.resolution, plan.by_default)
        mode = shown(mode, plan.step, found) + (f", {UNSEEN}" if stream.name in self.windows.doubted else "")
        zone = f", {stream.zone}" if stream.zone != "UTC" else ""
        return mode + zone + self.windows.floors.note(stream.name)

    def goes_on_after(self, error: AdventureError) -> bool:
        """Go back to the savepoint before the extract, which keeps snapshot and locks; see `SourceSnapshot`."""
        return not isinstance(error, SourceUnavailable) and self.reader.rolls_back_to_savepoint()

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the rows with these keys as Parquet; see `SourceSnapshot`."""
        plan = self._plans[stream.name]
        if stream.has_read_at:
            # A repaired row is as new as the last snapshot. The one that is loaded last counts.
            plan = plan.at(earlier(self._marks[stream.name].value, _TICK))
        writer = RowWriter(plan, folder, timedelta(0), Deduplicator(), self.reader.delta)
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
        relation = self._relations[stream.name]
        if stream.name in self.unlocked and self.unlocked[stream.name] != self.reader.fingerprint(relation):
            raise SourceError(
                f"stream {stream.name}: {stream.location} was altered or truncated while it was read",
                "No action is needed: the next cycle reads it again",
            )

    def _read(
        self, plan: Plan, condition: str, write: Callable[[pa.RecordBatch], None], *, hashed: bool = False
    ) -> None:
        """Read the rows under the condition with prefetch, and pass each batch to `write`."""
        with self.reader.batches(plan, plan.select(condition, hashed=hashed)) as batches:
            for batch in batches:
                write(batch)

    def _write_rejects(self, plan: Plan, writer: RowWriter, suspects: list[str], folder: Path) -> LocalFile | None:
        """Find the rows under these conditions that cannot be converted, in the same snapshot, and write them."""
        if not suspects:
            return None
        found = 0

        def only_new() -> Iterator[Reject]:
            nonlocal found
            for reject in self.reader.rejects(plan, " or ".join(suspects)):
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
