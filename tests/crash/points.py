"""Where the processor, the load and the cleanup are killed, whatever the source."""

from adventure.core.faults import Point

# The crash point, and which of its hits: the second staged file of a window is its window.json.
PROCESSOR = [
    (Point.EXTRACTING, 1),
    (Point.FILES_FINISHED, 1),
    (Point.STAGING, 1),
    (Point.STAGING, 2),
    (Point.FILE_STAGED, 1),
    (Point.WINDOW_STAGED, 1),
    (Point.WATERMARK_MOVED, 1),
]
LOAD = [Point.ROWS_WRITTEN, Point.LEDGER_WRITTEN, Point.COMMITTED]
# The window's data file, and then its window.json.
CLEANUP = [(Point.FILE_REMOVED, 1), (Point.FILE_REMOVED, 2)]
