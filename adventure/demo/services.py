"""Run the demo's long-lived commands side by side, and start one again that ends.

Each command writes to a log file of its own, so that the terminal has room for one line about all of them.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adventure.demo.sandbox.process import stop

FIRST_WAIT_SEC, LONGEST_WAIT_SEC = 1.0, 30.0
"""How long a command that ended waits until it is started again. The time doubles while it ends soon."""
SOON_SEC = 30.0
MOST_FAILURES = 5
"""A command that ended soon as often as this is not started again. The others go on."""


@dataclass
class Service:
    """One long-lived command."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    failures: int = 0
    """How often it ended soon after its start, in a row."""
    start_at: float | None = None
    """When it starts again, by the monotonic clock; None while it runs, or if it is given up."""

    @property
    def command(self) -> str:
        """Return the command as a user types it."""
        return f"adventure {' '.join(self.arguments)}"

    @property
    def is_running(self) -> bool:
        """Return whether its process runs."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Services:
    """The demo's commands, in the order in which they start and stop."""

    folder: Path
    """Where their logs are."""
    options: Sequence[str] = ()
    """General options of each command."""
    services: list[Service] = field(default_factory=list)

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a command. Its log is emptied."""
        self.folder.mkdir(exist_ok=True)
        service = Service(name, arguments, environment, self.folder / f"{name}.log")
        service.log.unlink(missing_ok=True)
        self.services.append(service)
        self._launch(service)

    def watch(self) -> Iterator[str]:
        """Start commands again that ended, and yield a sentence about each."""
        now = time.monotonic()
        for service in self.services:
            if service.start_at is not None and now >= service.start_at:
                self._launch(service)
            elif service.process is not None and not service.is_running:
                yield self._ended(service, now)

    def stopped(self) -> list[str]:
        """Return the names of the commands that do not run."""
        return [service.name for service in self.services if not service.is_running]

    def stop(self) -> None:
        """Stop all commands."""
        for service in self.services:
            if service.process:
                stop(service.process, signal.SIGTERM)

    def _launch(self, service: Service) -> None:
        # In its own session the child does not receive Ctrl-C; this process stops the children in order.
        with service.log.open("ab") as output:
            service.process = subprocess.Popen(
                [sys.executable, "-m", "adventure", *self.options, *service.arguments],
                env=os.environ | dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        service.started_at, service.start_at = time.monotonic(), None

    def _ended(self, service: Service, now: float) -> str:
        """Decide when the command starts again, and return what happened."""
        code = service.process.returncode if service.process else None
        service.process = None
        service.failures = service.failures + 1 if now - service.started_at < SOON_SEC else 1
        end = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        how = f"`{service.command}` {end}"
        reason = _last_line(service.log)
        if service.failures >= MOST_FAILURES:
            return (
                f"{how} {service.failures} times in a row, and is not started again; the others go on."
                f" See {service.log}: {reason}"
            )
        wait = min(FIRST_WAIT_SEC * 2 ** (service.failures - 1), LONGEST_WAIT_SEC)
        service.start_at = now + wait
        return f"{how} and starts again in {wait:g} s. See {service.log}: {reason}"


def _last_line(log: Path) -> str:
    """Return the last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it printed nothing")
