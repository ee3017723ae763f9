"""Print a benchmark's figures with runs, yardstick and goal, and write them to a JSON file on request.

Every benchmark accepts `--json FILE` (see `add_argument`); `make bench` collects the files.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """A measured figure."""

    benchmark: str
    """Module of the benchmark, such as `first_load`."""
    figure: str
    """Description of the measured quantity."""
    value: float
    """The median of the runs."""
    unit: str
    runs: list[float]
    yardstick: float | None = None
    """The yardstick's median in the same unit."""
    yardstick_runs: list[float] = field(default_factory=list)
    ratio: float | None = None
    """value / yardstick, of the medians."""
    goal: float | None = None
    """Maximum of the ratio if there is a yardstick, else of the value."""

    @property
    def is_met(self) -> bool | None:
        """Return whether the goal is met; None without a goal."""
        measured = self.value if self.ratio is None else self.ratio
        return None if self.goal is None else measured <= self.goal

    def __str__(self) -> str:
        text = f"{self.figure}: {self.value:.4g} {self.unit} ({_format_runs(self.runs)})"
        if self.yardstick is not None:
            text += f", {self.ratio:.2f} × the yardstick's {self.yardstick:.4g} ({_format_runs(self.yardstick_runs)})"
        if self.goal is not None:
            text += f"; goal ≤ {self.goal:g}: {'met' if self.is_met else 'MISSED'}"
        return text


@dataclass
class Results:
    """The figures of a run of a benchmark."""

    benchmark: str
    figures: list[Figure] = field(default_factory=list)

    def add(
        self,
        figure: str,
        runs: Sequence[float],
        unit: str = "s",
        *,
        yardstick: Sequence[float] = (),
        goal: float | None = None,
    ) -> Figure:
        """Print and store a figure.

        Args:
            runs: the value of every run.
            yardstick: the value of every run of the yardstick, in the same unit.
            goal: see `Figure.goal`.
        """
        value = statistics.median(runs)
        measure = statistics.median(yardstick) if yardstick else None
        ratio = value / measure if measure else None
        found = Figure(
            self.benchmark, figure, value, unit, list(runs), measure, list(yardstick), ratio=ratio, goal=goal
        )
        self.figures.append(found)
        print(found, flush=True)
        return found

    def write(self, path: Path | None) -> None:
        """Write the figures as a JSON array of `Figure` objects, if a file is given."""
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            figures = [asdict(figure) for figure in self.figures]
            path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument `--json FILE` for `Results.write`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the figures into as well")


def write_between_markers(path: Path, markers: tuple[str, str], text: str) -> None:
    """Replace the text between the two markers in a file."""
    old = path.read_text(encoding="utf-8")
    begin, end = old.index(markers[0]) + len(markers[0]), old.index(markers[1])
    path.write_text(f"{old[:begin]}\n{text}\n{old[end:]}", encoding="utf-8")


def _format_runs(runs: Sequence[float]) -> str:
    return ", ".join(f"{run:.3g}" for run in runs)
