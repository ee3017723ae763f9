"""The processes to kill or to pause, and the schedule of it, which depends only on the seed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from adventure.demo.sandbox.process import Server

ROOT = Path(__file__).parent.parent.parent

WEIGHTS = {"processor": 4, "task server": 3, "PostgreSQL": 2, "MongoDB": 2}
MEAN_SEC = 3.0
"""Mean seconds between two strikes."""
PAUSED = ("processor", "task server")
"""They may be paused instead: everything else goes on, and what they held and knew is old when they go on."""
PAUSES = 0.1
"""The share of their strikes that are pauses."""
LONGEST_PAUSE_SEC = 150.0


@dataclass(frozen=True)
class Strike:
    """A kill, or a pause."""

    at: float
    """Seconds after the start of the run."""
    victim: str
    down: float
    """Seconds until the victim is restarted, or goes on."""
    is_pause: bool = False


def schedule(seed: int, seconds: float) -> Iterator[Strike]:
    """Yield the strikes of a run; the same seed gives the same strikes. A pause takes up to a fifth of the run."""
    rng, pauses = random.Random(f"{seed}:schedule"), random.Random(f"{seed}:pauses")
    at = 2.0
    while at < seconds:
        (victim,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        down, is_pause = rng.uniform(0, 2.5), victim in PAUSED and pauses.random() < PAUSES
        if is_pause:
            down = pauses.uniform(1, max(2.5, min(LONGEST_PAUSE_SEC, seconds / 5)))
        yield Strike(at, victim, down, is_pause)
        at += rng.expovariate(1 / MEAN_SEC)


class Victim(Protocol):
    """A process that can be killed and restarted."""

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Command:
    """A long-lived command that writes its output to a log."""

    arguments: list[str]
    environment: dict[str, str]
    log: Path
    ended_by_itself: list[str] = field(default_factory=list)
    """The last line of output for each exit without a kill. An unavailable server must not end a command."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "adventure", *self.arguments],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the command with kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the command as Ctrl-Z does, until `go_on`."""
        self.restart_if_exited()
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the command cleanly."""
        self._end(signal.SIGTERM)

    def restart_if_exited(self) -> None:
        """Record an exit without a kill, and start the command again."""
        if self._process is not None and self._process.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            self.ended_by_itself.append(f"exit code {self._process.returncode}: {lines[-1] if lines else ''}")
            self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self.restart_if_exited()
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait()
            self._process = None


__all__ = ["Command", "Server", "Strike", "Victim", "schedule"]
