"""Stop a long-lived job on SIGTERM or Ctrl-C, within the ten seconds that containers and init systems allow.

After the signal, a job finishes its current round. If that takes too long, it is interrupted, as by a second Ctrl-C:
connections close, half-done work is rolled back, and the next start repeats it. If it is stuck in an uninterruptible
call, the process exits immediately; that is as safe as kill -9 (docs/guarantees.md).
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
"""How long a job may go on with its round after the signal."""

UNWIND_SEC = 4.0
"""How long an interrupted job may take to close its connections and files. Both together stay below ten seconds."""

_cancels: list[Callable[[], object]] = []
"""Of the whole process, as signals are: the driver's calls are made far below the job that is stopped."""

log = get_logger()


@contextmanager
def cancelling(cancel: Callable[[], object]) -> Iterator[None]:
    """Wrap a driver's call that no signal interrupts: another thread calls `cancel`, which ends it."""
    _cancels.append(cancel)
    try:
        yield
    finally:
        _cancels.remove(cancel)


def run_until_stopped(job: Callable[[threading.Event], Any]) -> None:
    """Run a job that checks the event between its rounds; a signal sets the event.

    Raises:
        KeyboardInterrupt: something other than a signal interrupted the job.
    """
    stop = threading.Event()
    with _watching(stop):
        try:
            job(stop)
        except KeyboardInterrupt:
            if not stop.is_set():
                raise
            log.warning("Stopped in the middle of a round. The next start repeats it.")


@contextmanager
def _watching(stop: threading.Event) -> Iterator[None]:
    """Start a thread that receives signals even while the main thread is in a driver's call and runs no handler."""
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
    log.error("The job could not be interrupted, so the process exits. The next start repeats what was half done.")
    os._exit(1)


def _ended(pipe: FileIO, seconds: float) -> bool:
    """Return whether the job ends within that time. Signals that arrive meanwhile are read and ignored."""
    deadline = time.monotonic() + seconds
    while _ready(pipe.fileno(), max(0.0, deadline - time.monotonic())):
        if not pipe.read(1):
            return True
    return False


def _ready(descriptor: int, seconds: float) -> bool:
    """Return whether a signal, or the end of the job, came within that time."""
    return bool(select.select([descriptor], [], [], seconds)[0])
