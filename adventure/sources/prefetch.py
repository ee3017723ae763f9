"""Prefetch items on a background thread while the caller works on the items before them.

Drivers and Arrow release the GIL while they fetch, decode and encode, so fetching and encoding overlap.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

DEPTH = 8
"""The most items that wait. About as many PostgreSQL batches arrive while one row group is encoded."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    error: BaseException | None


@contextmanager
def prefetch(
    items: Iterable[T], cancel: Callable[[], object] = lambda: None, *, depth: int = DEPTH
) -> Iterator[Iterator[T]]:
    """Yield an iterator over the items, in their order. It raises the errors of `items` in the caller's thread.

    When the block ends, the thread has ended and nothing uses `items` any more.

    Args:
        cancel: interrupts a fetch in progress. It is called in the caller's thread when the block fails. Without it,
            the block waits for the fetch.
        depth: the most items that wait.
    """
    fetched: SimpleQueue[_Item[T] | _End] = SimpleQueue()
    free = threading.Semaphore(depth)
    stopped, ended = threading.Event(), threading.Event()

    def fetch() -> None:
        error = None
        try:
            for item in items:
                fetched.put(_Item(item))
                free.acquire()
                if stopped.is_set():
                    break
        except BaseException as found:  # noqa: BLE001 - raised in the caller's thread, whatever it is
            error = found
        fetched.put(_End(error))

    def received() -> Iterator[T]:
        while isinstance(found := fetched.get(), _Item):
            free.release()
            yield found.value
        ended.set()
        if found.error is not None:
            raise found.error

    thread = threading.Thread(target=fetch, name="prefetch", daemon=True)
    thread.start()
    try:
        yield received()
    except BaseException:
        stopped.set()
        if not ended.is_set():
            cancel()
        raise
    finally:
        stopped.set()
        free.release()
        thread.join()
