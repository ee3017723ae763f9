"""End a call of the ADBC driver that has received nothing for too long, by shutting down its sockets.

libpq reads without a time limit. TCP keepalives notice a host that is down. They notice neither a stopped server
process nor a proxy that hangs, because the kernel there still answers them. ADBC does not expose its sockets, and its
own cancel waits for the same server. So we look the sockets up among the process's open files.
"""

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_CHECK_INTERVAL_SEC = 0.25
_OPEN_FILES = Path("/dev/fd")

_lock = threading.Lock()
_waiting: dict[object, tuple[float, "Sockets"]] = {}
"""The calls in progress: the time at which each has waited for too long, and its sockets."""


@dataclass(eq=False)
class Sockets:
    """The sockets to one port that were opened after this object.

    Args:
        port: the server's port, which is also part of the name of a Unix socket.
        seconds: how long one call may receive nothing.
    """

    port: int
    seconds: float
    shut_down: bool = False
    """Whether a call was ended because it received nothing for that long."""
    _before: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._before = {_identity(number) for number in _open_files()}

    @contextmanager
    def one_call(self, seconds: float | None = None) -> Iterator[None]:
        """Watch one call of the driver for the duration of the block.

        Args:
            seconds: how long this call may receive nothing; default: `self.seconds`.
        """
        call = object()
        with _lock:
            _waiting[call] = time.monotonic() + (self.seconds if seconds is None else seconds), self
        _start_watching()
        try:
            yield
        finally:
            with _lock:
                del _waiting[call]

    def hurry(self, seconds: float) -> None:
        """Shorten the time that calls in progress have left to at most so many seconds."""
        with _lock:
            for call, (until, sockets) in _waiting.items():
                if sockets is self:
                    _waiting[call] = min(until, time.monotonic() + seconds), self

    def end(self) -> None:
        """Shut the sockets down. The call in progress then fails immediately."""
        self.shut_down = True
        for number in _open_files():
            with suppress(OSError):
                if _identity(number) not in self._before and stat.S_ISSOCK(os.fstat(number).st_mode):
                    # Use a duplicate, so that closing it here does not close the driver's own descriptor.
                    with socket.socket(fileno=os.dup(number)) as found:
                        if self._is_peer(found.getpeername()):
                            found.shutdown(socket.SHUT_RDWR)

    def _is_peer(self, peer: object) -> bool:
        if isinstance(peer, str):
            return peer.endswith(f".s.PGSQL.{self.port}")
        return isinstance(peer, tuple) and peer[1] == self.port


def _watch() -> None:
    while True:
        time.sleep(_CHECK_INTERVAL_SEC)
        with _lock:
            for until, sockets in _waiting.values():
                if time.monotonic() > until:
                    sockets.end()


def _start_watching() -> None:
    global _watcher
    if _watcher is None:
        _watcher = threading.Thread(target=_watch, name="silence", daemon=True)
        _watcher.start()


_watcher: threading.Thread | None = None


def _open_files() -> list[int]:
    return [int(path.name) for path in _OPEN_FILES.iterdir()]


def _identity(number: int) -> tuple[int, int]:
    """Return number and inode of an open file. The number alone is not unique, since a closed file's is used again."""
    with suppress(OSError):
        return number, os.fstat(number).st_ino
    return number, -1
