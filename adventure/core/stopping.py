"""Ends a long-lived job on SIGTERM or Ctrl-C, within the ten seconds that containers and init systems grant.

Asked to stop, a job ends after the round that it is at. When that takes too long it is interrupted, as by a second
Ctrl-C: connections close, what was half done is undone, and the next start does it again. When it hangs in a call that
knows no interrupt, the process ends there and then, which is no worse than kill -9: see docs/guarantees.md.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from types import FrameType
from typing import Any

from adventure.core.log import get_logger

GRACE_SEC = 4.0
"""How long a job may go on with its round after it was asked to stop."""

UNWIND_SEC = 4.0
"""How long an interrupted job may take to close what it has open. Both together stay below ten seconds."""

_cancels: list[Callable[[], object]] = []

log = get_logger()


@contextmanager
def cancelling(cancel: Callable[[], object]) -> Iterator[None]:
    """Around a driver's call that no signal interrupts: `cancel` then ends it, called by another thread."""
    _cancels.append(cancel)
    try:
        yield
    finally:
        _cancels.remove(cancel)


def run_until_stopped(job: Callable[[threading.Event], Any]) -> None:
    """Runs a job that looks at the event between its rounds, which a signal sets.

    Raises:
        KeyboardInterrupt: the job was interrupted by something else than a signal.
    """
    stop = threading.Event()
    with _watching(stop):
        try:
            job(stop)
        except KeyboardInterrupt:
            if not stop.is_set():
                raise
            log.warning("Stopped in the middle of a round, which the next start does again.")


@contextmanager
def _watching(stop: threading.Event) -> Iterator[None]:
    """A thread that hears signals even while the main thread is inside a driver's call and can run no handler."""
    interrupting = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        # Once for each time that `_watch` asks. Signals that came during a driver's call are all handled after it,
        # one upon the other: a second interrupt would break into what closes the connection for the first.
        if interrupting.is_set():
            interrupting.clear()
            raise KeyboardInterrupt

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handlers = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    # Python's own part of a handler writes the signal's number there at once, whatever the main thread is at.
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, stop, interrupting), name="stopping", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)


def _watch(reader: int, stop: threading.Event, interrupting: threading.Event) -> None:
    """First signal: stop. Second signal, or no end within the grace: interrupt. No end even then: end the process."""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        if not pipe.read(1):
            return
        stop.set()
        if _ready(pipe.fileno(), GRACE_SEC) and not pipe.read(1):
            return
        # A second time, because an interrupt that comes while an object is finalised is ignored by the interpreter.
        for _ in range(2):
            interrupting.set()
            os.kill(os.getpid(), signal.SIGINT)
            for cancel in tuple(_cancels):
                cancel()
            if _ended(pipe, UNWIND_SEC / 2):
                return
    log.error("Could not be interrupted; ended as it was. What was half done is done again by the next start.")
    os._exit(1)


def _ended(pipe: FileIO, seconds: float) -> bool:
    """Whether the job ends within that time; signals that come meanwhile are taken out of the pipe."""
    deadline = time.monotonic() + seconds
    while _ready(pipe.fileno(), max(0.0, deadline - time.monotonic())):
        if not pipe.read(1):
            return True
    return False


def _ready(descriptor: int, seconds: float) -> bool:
    """Whether a signal came, or the job's end, within that time."""
    return bool(select.select([descriptor], [], [], seconds)[0])
