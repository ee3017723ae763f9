"""Stage the windows of a cycle on a thread, while the next stream is read.

A window waits for the disk and for the state database, and reading waits for the source, so both take turns on nothing.
One window is staged at a time, in the order of the extracts: no row is staged before the row that it refers to.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Staging:
    """The staging of one source's windows. Its block ends when the last one is staged, or has failed.

    Raises:
        AdventureError: from `start`, `finish` and the end of the block: the window under way could not be staged.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "staging")
        # Start the thread now, before a first thread fetches rows. Later it would take over that one's part of the
        # heap, and the next one that fetches would grow another: 25 MB.
        self._thread.submit(int)
        self._under_way: Future[None] | None = None
        self._then: list[Callable[[], object]] = []

    def start(self, stage: Callable[[], None]) -> None:
        """Start to stage a window, once the window before it is staged.

        Args:
            stage: stages the window and advances its watermark; called on the thread.
        """
        self.finish()
        self._under_way = self._thread.submit(stage)

    def then(self, note: Callable[[], object]) -> None:
        """Call this in the caller's thread when the window under way is staged, or now if there is none."""
        if self._under_way:
            self._then.append(note)
        else:
            note()

    def finish(self) -> None:
        """Wait for the window under way."""
        if under_way := self._under_way:
            self._under_way = None
            notes, self._then = self._then, []
            under_way.result()
            for note in notes:
                note()

    def __enter__(self) -> "Staging":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.finish()
        finally:
            self._thread.shutdown()
