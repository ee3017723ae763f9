"""What is killed, and when: a schedule that the seed repeats, and the processes that it strikes."""

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
"""Between two kills."""


@dataclass(frozen=True)
class Strike:
    """One kill."""

    at: float
    """Seconds after the begin."""
    victim: str
    down: float
    """Seconds until it is started again."""


def schedule(seed: int, seconds: float) -> Iterator[Strike]:
    """The kills of a run: the same seed gives the same ones."""
    rng = random.Random(f"{seed}:schedule")
    at = 2.0
    while at < seconds:
        (victim,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        yield Strike(at, victim, rng.uniform(0, 2.5))
        at += rng.expovariate(1 / MEAN_SEC)


class Victim(Protocol):
    """A process that can be killed and started again."""

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Command:
    """One of the long-lived commands. Its lines go to a log."""

    arguments: list[str]
    environment: dict[str, str]
    log: Path
    ended_by_itself: list[str] = field(default_factory=list)
    """The last line of each time that it ended without being killed: a server that is away must not end it."""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it."""
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
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """A clean end."""
        self._end(signal.SIGTERM)

    def look(self) -> None:
        """Notes that it ended by itself, and starts it again."""
        if self._process is not None and self._process.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            self.ended_by_itself.append(f"exit code {self._process.returncode}: {lines[-1] if lines else ''}")
            self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self.look()
            self._process.send_signal(how)
            self._process.wait()
            self._process = None


__all__ = ["Command", "Server", "Strike", "Victim", "schedule"]
