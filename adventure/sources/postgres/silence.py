"""End a call of the ADBC driver that has heard nothing for too long, by shutting down its sockets.

libpq reads without any limit. TCP keepalives notice a host that is down. They notice neither a stopped server process
nor a proxy that hangs, because the kernel there still answers them. ADBC shows no socket and its own cancel waits for
the same server, so the sockets are looked up among the process's open files.
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
"""The calls under way: when each has waited for too long, and on which sockets."""


@dataclass(eq=False)
class Sockets:
    """The sockets to one port that were opened after this object.

    Args:
        port: the server's port, which also names a Unix socket.
        seconds: how long one call may hear nothing.
    """

    port: int
    seconds: float
    shut_down: bool = False
    """Whether a call was ended because it heard nothing for that long."""
    _before: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._before = {_identity(number) for number in _open_files()}

    @contextmanager
    def one_call(self, seconds: float | None = None) -> Iterator[None]:
        """Around one call of the driver.

        Args:
            seconds: how long this call may hear nothing; default: as long as any.
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
        """Gives the calls under way only so many seconds more."""
        with _lock:
            for call, (until, sockets) in _waiting.items():
                if sockets is self:
                    _waiting[call] = min(until, time.monotonic() + seconds), self

    def end(self) -> None:
        """Shuts the sockets down: the call under way fails at once."""
        self.shut_down = True
        for number in _open_files():
            with suppress(OSError):
                if _identity(number) not in self._before and stat.S_ISSOCK(os.fstat(number).st_mode):
                    # A duplicate, so that closing it here leaves the driver's own descriptor alone.
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
    """A number is used again once its file is closed; with the inode it is not mistaken."""
    with suppress(OSError):
        return number, os.fstat(number).st_ino
    return number, -1
