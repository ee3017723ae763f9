"""Log the progress of a long extract every two seconds."""

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from adventure.core.log import get_logger
from adventure.core.streams import Stream

EVERY_SEC = 2.0

log = get_logger()

Batch = TypeVar("Batch", bound=Sized)


def log_progress(stream: Stream, batches: Iterable[Batch], what: str) -> Iterator[Batch]:
    """Yield the batches unchanged and log a running count of `what` every EVERY_SEC seconds."""
    read, logged_at = 0, time.monotonic()
    for batch in batches:
        yield batch
        read += len(batch)
        if time.monotonic() - logged_at > EVERY_SEC:
            logged_at = time.monotonic()
            log.info(f"{stream.name}: {read:,} {what} read", stream=stream.name, rows=read)
