"""Stages what a comparison found: missing and stale rows, and the keys that are gone, as windows of their own.

They take the way of every window: stage, load, ledger. None moves the watermark: its low and high are both the
watermark, which is what no window that is to be adopted has.
"""

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from adventure.core.clock import earlier, later, utc_now
from adventure.core.files import DELETES, LocalFile, NdjsonFile, writing
from adventure.core.key_kinds import joined_key
from adventure.core.log import get_logger
from adventure.core.manifest import Column, Window
from adventure.core.spans import moment
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.reconcile.comparison import Comparison, Suspect
from adventure.sources.side import SourceSide
from adventure.sources.source import Source, SourceSnapshot

MODE = "repair"
"""What a repair's window has as its mode, and the ledger after it."""

HANDFUL = 10
"""So many deletions are staged whatever their share is."""

MOST = 0.1
"""The share of a stream's living keys above which deletions are not staged without `--force`."""

_TICK = timedelta(microseconds=1)

log = get_logger()


@dataclass(frozen=True)
class Repaired:
    """What was staged."""

    rows: int = 0
    """Missing, stale and changed rows, and those that were rejected before and are converted now."""
    rejected: int = 0
    deleted: int = 0
    withheld: int = 0
    """Deletions that were not staged, because they are more than MOST of the living keys."""
    living: int = 0
    """Keys that the warehouse holds and that are not deleted."""


@dataclass(frozen=True)
class Repair:
    """One stream's repair: from where, to where, and where the stream stands."""

    stream: Stream
    source: Source
    side: SourceSide
    stage: Stage
    mark: Watermark
    folder: Path
    living: int
    """Keys that the warehouse holds and that are not deleted."""
    force: bool = False
    """Stages deletions whatever their share is."""

    def run(self, comparison: Comparison, deletions: int) -> Repaired:
        """Stages a window for every few thousand keys. Killed anywhere, what is staged whole is whole.

        What cannot be seen at the source looks as if it were deleted: a privilege that is missing, another database, a
        detached partition. So deletions above a share of the living keys are not staged without `force`.

        Raises:
            SourceError: the source failed.
            StageUnwritable: the stage takes no file.
        """
        rows = rejected = deleted = 0
        for suspects in comparison.suspects("missing", "stale", "changed"):
            with self.source.open_snapshot([self.stream], {self.stream.name: self.mark}) as snapshot:
                window = self._stage_rows(snapshot, suspects)
            rows, rejected = rows + window.rows, rejected + window.rejected
        for suspects in comparison.suspects("rejected"):
            with self.source.open_snapshot([self.stream], {self.stream.name: self.mark}) as snapshot:
                rows += self._stage_rows(snapshot, suspects, are_rejected=True).rows
        if deletions > max(HANDFUL, MOST * self.living) and not self.force:
            return Repaired(rows, rejected, withheld=deletions, living=self.living)
        for suspects in comparison.suspects("deleted"):
            # The horizon first: whatever comes back after the look below has a cursor above it.
            with self.source.open_snapshot([self.stream], {self.stream.name: self.mark}) as snapshot:
                if self.stream.name in snapshot.unreadable:
                    raise snapshot.unreadable[self.stream.name]
                horizon, end, mode = snapshot.horizon, snapshot.end(self.stream), snapshot.mode
            # Where there is no horizon, or the cursor is coarse, a row may come back with a cursor from as far back.
            lag = self.side.lag(self.mark)
            gone_at = earlier(end, lag if mode == "horizon" else max(lag, self.side.lookback(self.mark)))
            deleted += self._stage_deletes(suspects, horizon, gone_at)
        return Repaired(rows, rejected, deleted, living=self.living)

    def _stage_rows(
        self, snapshot: SourceSnapshot, suspects: Sequence[Suspect], *, are_rejected: bool = False
    ) -> Window:
        """Stage the rows with these keys.

        Args:
            are_rejected: they were rejected before. Those that are rejected again are not staged a second time.
        """
        self._empty_folder()
        if self.stream.name in snapshot.unreadable:
            raise snapshot.unreadable[self.stream.name]
        keys = [suspect.key for suspect in suspects]
        extract = snapshot.extract_keys(self.stream, keys, self.mark.value, self.folder)
        rejects = None if are_rejected else extract.rejects
        return self._commit(snapshot.horizon, extract.files, extract.columns, rejects=rejects)

    def _stage_deletes(self, suspects: Sequence[Suspect], horizon: datetime, gone_at: datetime) -> int:
        """Stage the deletion of those that are still deleted.

        Args:
            gone_at: when, as the cursor has it. A row that comes back gets a cursor above it.
        """
        self._empty_folder()
        there = {key for key, *_ in self.side.lookup([suspect.key for suspect in suspects])}
        gone = [suspect for suspect in suspects if joined_key(suspect.key) not in there]
        with writing(self.folder), NdjsonFile(self.folder / DELETES) as file:
            for suspect in gone:
                assert suspect.parts is not None
                held = moment(suspect.held) if suspect.held is not None else datetime.min
                line = {
                    "key": dict(zip(self.stream.key, suspect.parts, strict=True)),
                    # Later than the version that it ends.
                    "deleted_at": max(gone_at, later(held, _TICK)),
                }
                file.write(orjson.dumps(line))
            written = file.close()
        if written is None:
            return 0
        self._commit(horizon, (), (), deletes=written)
        return written.rows

    def _commit(
        self,
        horizon: datetime,
        files: tuple[LocalFile, ...],
        columns: tuple[Column, ...],
        *,
        rejects: LocalFile | None = None,
        deletes: LocalFile | None = None,
    ) -> Window:
        window = Window(
            stream=self.stream.name,
            stage=self.stream.stage,
            low=self.mark.value,
            high=self.mark.value,
            run_id=secrets.token_hex(4),
            files=tuple(file.staged() for file in files),
            rejects=rejects.staged() if rejects else None,
            columns=columns,
            staged_at=utc_now(),
            horizon=horizon,
            mode=MODE,
            deletes=deletes.staged() if deletes else None,
        )
        if window.all_files:
            for file in (*files, *filter(None, (rejects, deletes))):
                self.stage.put(self.stream.stage, window.id, file.path)
            self.stage.commit(window)
            log.info(
                f"{self.stream.name}: staged {window.stage}/{window.id}: {window.rows:,} rows,"
                f" {deletes.rows if deletes else 0:,} deletions; the next load takes them",
                stream=self.stream.name,
                window=window.id,
                rows=window.rows,
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        return window

    def _empty_folder(self) -> None:
        with writing(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
