"""The ledger `raw_ext.load_history`: which files are loaded, and what follows for loads and cleanups."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from adventure.core.clock import utc_now
from adventure.core.manifest import MANIFEST, StagedFile, Window
from adventure.core.streams import Stream
from adventure.destinations.common.executor import SqlExecutor
from adventure.destinations.results import RemovedWindow, StreamTotals
from adventure.destinations.warehouse import Execute

LoadedRows = Mapping[tuple[str, str], int]
"""Loaded rows by window id and file name."""


def read_ledger(execute: Execute, stage: str, window_ids: Sequence[str]) -> LoadedRows:
    """Return the loaded rows of these windows."""
    wanted = set(window_ids)
    if not wanted:
        return {}
    rows = execute(
        'select window_id, file, "ROWS" from raw_ext.load_history where stage = ? and window_id between ? and ?',
        [stage, min(wanted), max(wanted)],
    )
    return {(window_id, file): int(count) for window_id, file, count in rows if window_id in wanted}


def files_to_load(window: Window, ledger: LoadedRows) -> tuple[StagedFile, ...]:
    """Return the window's files that are not in the ledger. A file name is loaded once, whatever the file holds."""
    return tuple(file for file in window.all_files if (window.id, file.name) not in ledger)


def is_loaded(window: Window, ledger: LoadedRows) -> bool:
    """Return whether the ledger holds every file of the window with the row count that `window.json` promises."""
    return all(ledger.get((window.id, file.name)) == file.rows for file in window.all_files)


class SqlLedger(SqlExecutor):
    """See `Ledger`."""

    def loaded(self, windows: Iterable[Window]) -> set[str]:
        """Return the ids of the windows whose files are all in the ledger with the promised row counts."""
        by_stage: dict[str, list[Window]] = {}
        for window in windows:
            by_stage.setdefault(window.stage, []).append(window)
        found: set[str] = set()
        for stage, staged in by_stage.items():
            ledger = read_ledger(self.execute, stage, [window.id for window in staged])
            found |= {window.id for window in staged if is_loaded(window, ledger)}
        return found

    def loaded_spans(self) -> dict[str, list[tuple[datetime | None, datetime]]]:
        """Return the spans of the cursor that the ledger holds, by stream. Adjoining windows are one span."""
        rows = self.execute(
            """
            with windows as (
                select distinct stream, low, high from raw_ext.load_history
            ),
            reached as (
                select
                    stream, low, high,
                    max(high) over (
                        partition by stream order by low nulls first, high
                        rows between unbounded preceding and current row
                    ) as so_far
                from windows
            ),
            starts as (
                select
                    stream, low, high,
                    case
                        when low <= lag(so_far) over (partition by stream order by low nulls first, high) then 0
                        else 1
                    end as is_start
                from reached
            ),
            spans as (
                select
                    stream, low, high,
                    sum(is_start) over (
                        partition by stream order by low nulls first, high
                        rows between unbounded preceding and current row
                    ) as span
                from starts
            )
            select stream, case when count(low) = count(*) then min(low) end as low, max(high) as high
            from spans
            group by stream, span
            """
        )
        found: dict[str, list[tuple[datetime | None, datetime]]] = {}
        for stream, low, high in rows:
            found.setdefault(stream, []).append((low, high))
        return found

    def loaded_window_ids(self, ids: Iterable[str]) -> set[str]:
        """Return the ids of which the ledger holds at least one file."""
        wanted = list(ids)
        if not wanted:
            return set()
        marks = ", ".join("?" for _ in wanted)
        rows = self.execute(f"select distinct window_id from raw_ext.load_history where window_id in ({marks})", wanted)
        return {row[0] for row in rows}

    def totals(self, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
        """Return the ledger's totals by stream."""
        rows = self.execute(
            """
            select
                stream,
                sum(case when kind = 'data' then "ROWS" else 0 end) as loaded,
                sum(case when kind = 'rejects' then "ROWS" else 0 end) as rejected,
                sum(case when kind = 'deletes' then "ROWS" else 0 end) as deleted,
                max(loaded_at) as last_loaded_at
            from raw_ext.load_history
            group by stream
            """
        )
        found = {
            name: StreamTotals(int(loaded), int(rejected), int(deleted), last_loaded_at)
            for name, loaded, rejected, deleted, last_loaded_at in rows
        }
        return {stream.name: found.get(stream.name, StreamTotals()) for stream in streams}

    def record_removal(self, window: RemovedWindow) -> None:
        """Add a window without rows to the ledger, so that the span of its cursor is no gap."""
        now, high = str(utc_now()), str(window.high)
        low, moment = str(window.low) if window.low else None, "cast(? as timestamp)"
        self.execute(
            "insert into raw_ext.load_history select"
            f" ?, ?, ?, ?, 'removed', 0, 0, '', {moment}, {moment}, {moment}, 'removed', ?, {moment}, {moment}",
            [window.stream, window.stage, window.id, MANIFEST, low, high, high, window.run_id, now, now],
        )
