"""Start, wait for and stop a server process of any kind."""

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
    """Base class of the embedded servers: owns the process after `start`."""

    stop_signal: signal.Signals
    """The signal for a clean shutdown."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the running process, or None if this object has not started it."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """Shut down cleanly: all acknowledged writes are kept."""
        self._stop_with(self.stop_signal)

    def kill(self) -> None:
        """Kill all its processes, as a power cut would: a surviving child could still write to the data."""
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
    """Return `wanted` if nothing listens there, else any free port on loopback."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            # As the servers do, treat a port as free while old connections are still in TIME_WAIT.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise SandboxError("There is no free port on 127.0.0.1", "Stop processes that listen there")


def launch(
    command: Sequence[str | Path], log: Path, *, user: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server that writes its output to `log`.

    The server runs in its own session: Ctrl-C in the terminal reaches only the parent, which stops them in order.

    Args:
        user: run as this user; requires root.
        environment: additional environment variables.
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
    """Wait until the server answers, for at most two minutes: it may have to recover first.

    Raises:
        SandboxError: the server exited or did not answer in time; the message quotes the end of its log.
    """
    deadline = time.monotonic() + 120
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(process, signal.SIGKILL)
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            raise SandboxError(f"{name} did not start: {' | '.join(lines) or 'it printed nothing'}", f"See {log}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], how: signal.Signals, timeout: float = 20) -> None:
    """Stop a process with a signal, and with SIGKILL if it is still running after `timeout` seconds."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def stop_leftover(pid: int | None, marker: Path, how: signal.Signals) -> None:
    """Stop a server that outlived its parent: the process `pid`, if its command line contains `marker`.

    Two servers would destroy a data folder. The marker is needed because the pid of a stale file may be reused.
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
    """Return the pid in the first line of the file, or None."""
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
