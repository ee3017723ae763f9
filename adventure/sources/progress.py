"""How far a long extract is: said in the log every two seconds."""

import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from adventure.core.log import get_logger
from adventure.core.streams import Stream

EVERY_SEC = 2.0

log = get_logger()

Batch = TypeVar("Batch", bound=Sized)


def log_progress(stream: Stream, batches: Iterable[Batch], what: str) -> Iterator[Batch]:
    """The batches, and in the log how many of `what` there were."""
    read, told = 0, time.monotonic()
    for batch in batches:
        yield batch
        read += len(batch)
        if time.monotonic() - told > EVERY_SEC:
            told = time.monotonic()
            log.info(f"{stream.name}: {read:,} {what} read", stream=stream.name, rows=read)
