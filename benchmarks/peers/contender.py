"""Run a tool in its own environment, and measure the seconds and the peak memory of each run."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.peers.environments import CannotInstall, prepare
from benchmarks.peers.tools import QUIET, SCRIPTS, Job, Tool
from benchmarks.sales_source import Sales

BEGIN = datetime(1970, 1, 1)
"""The cursor of a first load."""
TIMEOUT_SEC = 1800


class Failed(Exception):
    """Raised if a tool has no figures; holds the reason."""


@dataclass
class Contender:
    """A tool in the run, with its figures."""

    tool: Tool
    environment: Path
    folder: Path
    first: float = 0.0
    increments: list[float] = field(default_factory=list)
    memory_mb: float = 0.0
    faults: list[str] = field(default_factory=list)
    failure: str = ""

    def copy(self, sales: Sales, since: datetime) -> float:
        """Run the tool and return the seconds.

        Raises:
            Failed: the tool exited with an error.
        """
        job = Job(sales.settings, self.folder, self.environment, since)
        commands, variables = (
            self.tool.commands(job),
            QUIET | {"HOME": str(self.folder)} | dict(self.tool.variables(job)),
        )
        seconds = 0.0
        for command in commands:
            took, memory = _run(command, self.folder, variables)
            seconds, self.memory_mb = seconds + took, max(self.memory_mb, memory)
        return seconds


def prepare_contender(tool: Tool, environments: Path, folder: Path) -> Contender:
    """Return the tool with its environment, or with the reason why it could not be installed."""
    environment = environments / tool.pins.stem if tool.pins else Path(sys.prefix)
    found = Contender(tool, environment, folder / tool.name.replace(" ", "_"))
    found.folder.mkdir()
    if tool.pins:
        try:
            prepare(environment, tool.pins)
        except CannotInstall as reason:
            found.failure = f"could not be installed: {reason}"
    return found


def _run(command: Sequence[str], folder: Path, variables: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds and the peak memory, in MB, of the largest of its processes.

    Raises:
        Failed: the command exited with an error or took too long.
    """
    log, report = folder / "log.txt", folder / "used.txt"
    measured = [sys.executable, "-S", str(SCRIPTS / "measured.py"), str(report), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            measured, cwd=folder, env=variables, stdout=output, stderr=output, start_new_session=True
        )
        try:
            process.wait(TIMEOUT_SEC)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Failed(f"did not end within {TIMEOUT_SEC:,} s") from None
    if process.returncode:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise Failed(f"exit code {process.returncode}: {said[-1].strip()[:200] if said else 'no output'}")
    seconds, kilobytes = map(float, report.read_text().split())
    return seconds, kilobytes / 1024
