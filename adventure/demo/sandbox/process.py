"""Starts, awaits and ends one server process. It must not know what the server is."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from adventure.core.errors import SandboxError


class Server:
    """A server's process, once this object has started it."""

    stop_signal: signal.Signals
    """What ends it cleanly."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, or None when this object has not started it."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """A clean end: everything that was acknowledged is kept."""
        self._stop_with(self.stop_signal)

    def kill(self) -> None:
        """kill -9 of all its processes, as a power cut: one that lived on might still write to the data."""
        processes = psutil.Process(self.pid).children(recursive=True) if self.pid else []
        self._stop_with(signal.SIGKILL)
        for child in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(processes, timeout=20)

    def _stop_with(self, how: signal.Signals) -> None:
        if self._process:
            stop(self._process, how)
            self._process = None


def free_port(wanted: int | None) -> int:
    """`wanted` if nothing listens there, else any free port on loopback."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            # As the servers do: a port whose last connections still linger counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise SandboxError("There is no free port on 127.0.0.1", "End processes that listen there")


def launch(
    command: Sequence[str | Path], log: Path, *, user: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a server whose output goes to `log`, as another user when this is root.

    It has a session of its own: Ctrl-C in the terminal reaches the parent, which ends its servers in order.

    Args:
        environment: variables beside those that every server gets.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "LANG": "C", "TZ": "UTC", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
        )


def await_answer(process: subprocess.Popen[bytes], answers: Callable[[], bool], name: str, log: Path) -> None:
    """Waits until the server answers.

    Raises:
        SandboxError: it ended, or did not answer within two minutes (it may have to recover); quotes the end
            of its log.
    """
    deadline = time.monotonic() + 120
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(process, signal.SIGKILL)
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise SandboxError(f"{name} did not start: {' | '.join(lines) or 'it printed nothing'}", f"See {log}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], how: signal.Signals, timeout: float = 20) -> None:
    """Ends a server with a signal, and with SIGKILL when it does not heed it within `timeout` seconds."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def stop_leftover(pid: int | None, marker: Path, how: signal.Signals) -> None:
    """Ends a server that outlived its parent: the process `pid`, if `marker` stands in its command line.

    Two servers on one data folder would ruin it; and a pid in a stale file may be anybody's by now.
    """
    try:
        leftover = psutil.Process(pid or 0)
        if pid is None or str(marker) not in leftover.cmdline():
            return
        leftover.send_signal(how)
        try:
            leftover.wait(timeout=20)
        except psutil.TimeoutExpired:
            leftover.kill()
            leftover.wait(timeout=20)
    except psutil.NoSuchProcess:
        return


def read_pid(path: Path) -> int | None:
    """The first line of a pid file, or None."""
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
