"""Settle what an interrupted cycle left in the stage."""

from collections.abc import Collection
from datetime import datetime

from adventure.core.faults import Point, reached
from adventure.core.log import get_logger
from adventure.core.manifest import Window
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.processor.owner import owner_of
from adventure.processor.state import State

log = get_logger()


def recover(state: State, stage: Stage, stream: Stream) -> bool:
    """Advance the watermark over complete windows that it does not cover yet, and discard incomplete windows.

    Call this once each time the state is opened, before the first cycle. The state falls behind the stage only between
    `commit` and `advance`. A processor that is killed or fails in between opens the state again before its next cycle.

    Returns:
        Whether the stage holds windows. A killed processor may not have announced them.

    Raises:
        SourceError: the state database failed.
        StageUnwritable: an incomplete window cannot be removed, or a complete one not be made durable.
    """
    reset_at = state.resets.get(stream.name, datetime.min)
    staged: set[str] | None = None
    windows = stage.windows(stream.stage)
    for window in windows:
        mark = state.watermarks.get(stream.name)
        low = mark.value if mark else None
        is_next = window.stream == stream.name and window.low == low and (low is None or window.high > low)
        # A stream that was reset is read again, even if the stage holds windows from before the reset.
        if is_next and window.staged_at > reset_at:
            staged = {entry.path for entry in stage.entries(stream.stage)} if staged is None else staged
            if not _is_whole(window, staged):
                continue
            stage.secure(window)
            state.advance(window, owner_of(stream, stage.identity()))
            reached(Point.WATERMARK_MOVED, stream.name)
            log.warning(
                f"{stream.name}: recovered {stream.stage}/{window.id} ({window.rows:,} rows), which an interrupted"
                " cycle had staged",
                stream=stream.name,
                window=window.id,
            )
    with state.undisturbed(stream) as undisturbed:
        # Keep the incomplete window of a running repair. That of a killed repair is discarded at the next opening.
        if undisturbed and (discarded := stage.discard_unfinished(stream.stage)):
            log.warning(f"{stream.name}: discarded {discarded} unfinished window(s); their rows are read again")
    return bool(windows)


def _is_whole(window: Window, staged: Collection[str]) -> bool:
    """Return whether the files that the window lists are among the staged ones.

    A processor that has lost its lock may have put `window.json` after its successor discarded the files.
    """
    return all(f"{window.stage}/{window.id}/{file.name}" in staged for file in window.all_files)
