"""`adventure stage remove`: remove windows from a stage, unless rows would be lost."""

from datetime import datetime

from adventure.core.errors import AdventureError, ConfigError, SourceError
from adventure.core.manifest import MANIFEST, Window
from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.destinations.results import RemovedWindow
from adventure.destinations.warehouse import Executor
from adventure.factory import open_stage, open_warehouse
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile


def remove_loaded(settings: Settings, stream: Stream) -> str:
    """Remove the stream's fully loaded windows, and return a summary.

    Raises:
        AdventureError: other windows are not loaded yet and were kept.
    """
    stage = open_stage(settings)
    windows = stage.windows(stream.stage)
    loaded = open_warehouse(settings).loaded(windows)
    files = sum(stage.remove(window) for window in windows if window.id in loaded)
    kept = len(windows) - len(loaded)
    if kept:
        raise AdventureError(
            f"{stream.name}: removed {len(loaded)} windows ({files} files); {kept} are not loaded yet and were kept",
            f"Run `adventure tasks run load_{stream.name}` first, or name one window",
        )
    return f"{stream.name}: removed {len(loaded)} windows ({files} files)"


def remove_window(settings: Settings, stream: Stream, window_id: str, *, force: bool) -> str:
    """Remove one window, damaged or not, and return a summary.

    Args:
        force: remove it even if rows are lost.

    Raises:
        ConfigError: the stage does not have the window.
        AdventureError: its rows are neither in another window nor in the warehouse. Nothing was removed.
    """
    stage, warehouse = open_stage(settings), open_warehouse(settings)
    path = f"{stream.stage}/{window_id}"
    names = {entry.path.partition(f"{path}/")[2] for entry in stage.entries(stream.stage)} - {""}
    if MANIFEST not in names and not force:
        incomplete = f"{path} is incomplete: it is still being staged, or the processor removes it at its next start"
        raise ConfigError(
            incomplete if names else f"{stream.stage} has no window {window_id}",
            f"`adventure stage list {stream.name}` shows the windows",
        )
    window = next((each for each in stage.windows(stream.stage) if each.id == window_id), None)
    if window is None or window.id not in warehouse.loaded([window]):
        lost = _lost_rows(settings, stream, window, window_id)
        if lost and not force:
            raise AdventureError(f"{path} was kept: {lost}", _remedy(stream, window, window_id))
        if not lost:
            warehouse.record_removal(_removed(stage, warehouse, stream, window, window_id))
    files = stage.discard(stream.stage, window_id)
    return f"{stream.name}: removed the window {window_id} ({files} files)"


def _lost_rows(settings: Settings, stream: Stream, window: Window | None, window_id: str) -> str:
    """Return a clause that says which rows exist only in the window; empty if there are none."""
    mark = read_watermarks(settings).get(stream.name)
    if window is None and (mark is None or _high(window_id) > mark.value):
        # The watermark is below the window, so the processor reads its rows again.
        return ""
    holds = "its window.json cannot be read"
    if window:
        holds = f"it has {window.rows:,} rows, {window.rejected:,} rejected rows and"
        holds += f" {window.deletes.rows if window.deletes else 0:,} deletions, which are not loaded"
        if mark is None or window.high > mark.value:
            return f"{holds}, and the watermark moves past it at the processor's next start"
    try:
        (report,) = reconcile(settings, [stream], without=[window_id])
        if report.failure:
            raise report.failure
    except SourceError as error:
        return f"{holds}, and it could not be checked whether they are elsewhere: {error.problem}"
    result = report.result
    counts = [(result.count(verdict), verdict) for verdict in ("missing", "stale", "deleted") if result]
    found = ", ".join(f"{count:,} {verdict}" for count, verdict in counts if count)
    return f"{holds}; without it the warehouse and the other windows differ from the source: {found}" if found else ""


def _remedy(stream: Stream, window: Window | None, window_id: str) -> str:
    load = f"`adventure tasks run load_{stream.name}`, which loads it; or " if window else ""
    return (
        f"Run {load}`adventure reconcile {stream.name} --repair --without {window_id}`, which stages its rows again,"
        " and then this command again; or add --force if the rows may be lost"
    )


def _removed(stage: Stage, warehouse: Executor, stream: Stream, window: Window | None, window_id: str) -> RemovedWindow:
    if window:
        return RemovedWindow(stream.name, stream.stage, window.id, window.low, window.high, window.run_id)
    # A window starts where the previous one ends.
    high = _high(window_id)
    ends = [each.high for each in stage.windows(stream.stage) if each.stream == stream.name and each.high < high]
    query = "select max(high) from raw_ext.load_history where stream = ? and high < cast(? as timestamp)"
    ends += [end for (end,) in warehouse.execute(query, [stream.name, str(high)]) if end]
    return RemovedWindow(
        stream.name, stream.stage, window_id, max(ends, default=None), high, window_id.partition("-")[2]
    )


def _high(window_id: str) -> datetime:
    """Return the end of a window, from its id.

    Raises:
        ConfigError: it is not the id of a window.
    """
    try:
        return datetime.strptime(window_id.partition("-")[0], "%Y%m%dT%H%M%S%fZ")
    except ValueError:
        raise ConfigError(f"{window_id} is not the name of a window", "Remove that folder by hand") from None
