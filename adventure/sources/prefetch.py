"""Reading ahead: a thread fetches what comes next while the caller still works on what came before.

Drivers and Arrow let go of Python's lock while they fetch, decode and encode, so that the two really go on at once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

DEPTH = 8
"""Items that wait at most: of PostgreSQL's batches about what comes while a row group is encoded."""

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
    """The items in their order. What `items` raises is raised where its next item is asked for.

    On return the thread has ended, and nothing of `items` is in use any more.

    Args:
        cancel: ends a fetch under way; called by the caller's thread when it fails and wants no more. Without it, the
            fetch is awaited.
        depth: items that wait at most.
    """
    fetched: SimpleQueue[_Item[T] | _End] = SimpleQueue()
    room = threading.Semaphore(depth)
    unwanted, ended = threading.Event(), threading.Event()

    def fetch() -> None:
        error = None
        try:
            for item in items:
                fetched.put(_Item(item))
                room.acquire()
                if unwanted.is_set():
                    break
        except BaseException as found:  # noqa: BLE001 - raised in the caller's thread, whatever it is
            error = found
        fetched.put(_End(error))

    def wanted() -> Iterator[T]:
        while isinstance(found := fetched.get(), _Item):
            room.release()
            yield found.value
        ended.set()
        if found.error is not None:
            raise found.error

    thread = threading.Thread(target=fetch, name="prefetch", daemon=True)
    thread.start()
    try:
        yield wanted()
    except BaseException:
        unwanted.set()
        if not ended.is_set():
            cancel()
        raise
    finally:
        unwanted.set()
        room.release()
        thread.join()
