"""Stage the differences that a comparison found as repair windows: missing and stale rows, and deleted keys.

Repair windows are staged, loaded and recorded in the ledger like all windows. They do not move the watermark: their low
and high are both equal to it, and the processor does not recover such windows.
"""

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from adventure.core.clock import earlier, later, utc_now
from adventure.core.files import LocalFile, NdjsonFile, writing
from adventure.core.key_kinds import joined_key
from adventure.core.log import get_logger
from adventure.core.manifest import DELETES, Column, Window
from adventure.core.spans import moment
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.reconcile.comparison import Comparison
from adventure.reconcile.result import Suspect
from adventure.sources.side import SourceSide
from adventure.sources.source import Source, SourceSnapshot

MODE = "repair"
"""The mode of a repair window, in its manifest and in the ledger."""

ALWAYS_ALLOWED = 10
"""Up to this number, deletions are staged whatever their share."""

MAX_DELETED_SHARE = 0.1
"""Above this share of a stream's live keys, deletions are staged only with `--force`."""

_TICK = timedelta(microseconds=1)

log = get_logger()


@dataclass(frozen=True)
class RepairResult:
    """The counts of a repair."""

    rows: int = 0
    """Staged rows: missing, stale and changed rows, and rejected rows that can now be converted."""
    rejected: int = 0
    deleted: int = 0
    withheld: int = 0
    """Deletions that were not staged, because they exceed MAX_DELETED_SHARE of the live keys."""
    live_keys: int = 0
    """Keys in the warehouse that are not deleted."""


@dataclass(frozen=True)
class Repair:
    """The repair of one stream."""

    stream: Stream
    source: Source
    side: SourceSide
    stage: Stage
    mark: Watermark
    folder: Path
    live_keys: int
    """Keys in the warehouse that are not deleted."""
    force: bool = False
    """Stage deletions whatever their share."""

    def run(self, comparison: Comparison, deletions: int) -> RepairResult:
        """Stage one window per few thousand keys, then announce them. If killed, the complete windows remain valid.

        Raises:
            SourceError: the source failed.
            StageUnwritable: the stage takes no file.
        """
        try:
            return self._stage(comparison, deletions)
        finally:
            # After a failure, too: the windows that were staged before it are complete.
            self.stage.announce(self.stream.stage)

    def _stage(self, comparison: Comparison, deletions: int) -> RepairResult:
        """Stage the rows and deletions.

        Rows that the role cannot see look deleted: because of a missing privilege, another database, or a detached
        partition. Therefore deletions above a share of the live keys are not staged without `force`.
        """
        rows = rejected = deleted = 0
        for suspects in comparison.suspects("missing", "stale", "changed"):
            with self.source.open_snapshot([self.stream], {self.stream.name: self.mark}) as snapshot:
                window = self._stage_rows(snapshot, suspects)
            rows, rejected = rows + window.rows, rejected + window.rejected
        for suspects in comparison.suspects("rejected"):
            with self.source.open_snapshot([self.stream], {self.stream.name: self.mark}) as snapshot:
                rows += self._stage_rows(snapshot, suspects, are_rejected=True).rows
        if deletions > max(ALWAYS_ALLOWED, MAX_DELETED_SHARE * self.live_keys) and not self.force:
            return RepairResult(rows, rejected, withheld=deletions, live_keys=self.live_keys)
        for suspects in comparison.suspects("deleted"):
            # Read the horizon before the lookup below: a row that comes back after the lookup has a cursor above it.
            with self.source.open_snapshot([self.stream], {self.stream.name: self.mark}) as snapshot:
                if self.stream.name in snapshot.unreadable:
                    raise snapshot.unreadable[self.stream.name]
                horizon, end, mode = snapshot.horizon, snapshot.end(self.stream), snapshot.mode
            # Without a horizon, or with a coarse cursor, a row can come back with a cursor this far below it.
            lag = self.side.lag(self.mark)
            deleted_at = earlier(end, lag if mode == "horizon" else max(lag, self.side.lookback(self.mark)))
            deleted += self._stage_deletes(suspects, horizon, deleted_at)
        return RepairResult(rows, rejected, deleted, live_keys=self.live_keys)

    def _stage_rows(
        self, snapshot: SourceSnapshot, suspects: Sequence[Suspect], *, are_rejected: bool = False
    ) -> Window:
        """Stage the rows with these keys.

        Args:
            are_rejected: the rows were rejected before. Rows that are rejected again are not staged a second time.
        """
        self._empty_folder()
        if self.stream.name in snapshot.unreadable:
            raise snapshot.unreadable[self.stream.name]
        keys = [suspect.key for suspect in suspects]
        extract = snapshot.extract_keys(self.stream, keys, self.mark.value, self.folder)
        rejects = None if are_rejected else extract.rejects
        return self._commit(snapshot.horizon, extract.files, extract.columns, rejects=rejects)

    def _stage_deletes(self, suspects: Sequence[Suspect], horizon: datetime, deleted_at: datetime) -> int:
        """Stage deletions for the keys that are still deleted. Return their number.

        Args:
            deleted_at: time of the deletion on the cursor's scale. A row that comes back has a later cursor.
        """
        self._empty_folder()
        present = {key for key, *_ in self.side.lookup([suspect.key for suspect in suspects])}
        deleted = [suspect for suspect in suspects if joined_key(suspect.key) not in present]
        with writing(self.folder), NdjsonFile(self.folder / DELETES) as file:
            for suspect in deleted:
                assert suspect.parts is not None
                held = moment(suspect.held) if suspect.held is not None else datetime.min
                line = {
                    "key": dict(zip(self.stream.key, suspect.parts, strict=True)),
                    # The deletion must be later than the version that it deletes.
                    "deleted_at": max(deleted_at, later(held, _TICK)),
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
                f" {deletes.rows if deletes else 0:,} deletions; the next load picks them up",
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
