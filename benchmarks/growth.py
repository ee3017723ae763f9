"""Measure whether the cost of a cycle depends only on new rows, and that of a first load only on the number of rows.

It grows the tables of an embedded PostgreSQL from 100,000 lines on. At each size a separate process stages both tables
from scratch, and then a running processor reads batches of 5,000 orders and 20,000 lines. It plots time and memory over
the size of the tables: cycle time and memory should be flat, and a first load proportional to the rows.

    make bench-growth, or python -m benchmarks.growth [--lines 100000 300000 1000000] [--rounds 5] [--plot FILE]
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adventure.processor.cycle import Pipeline
from adventure.processor.run import open_pipeline, run_cycle
from adventure.sources.postgres.horizon import MARGIN
from benchmarks.first_load import FirstLoad, first_load
from benchmarks.results import Results, add_argument
from benchmarks.sales_source import LINES_AN_ORDER, Sales, sales_source

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
BATCH = 5_000
GOAL = 1.5
"""Goals: at most this many times the value of the smallest size."""


@dataclass(frozen=True)
class Measured:
    """The measurements at one size."""

    lines: int
    """Lines in the source when the first load began."""
    load: FirstLoad
    cycles: list[float]
    """Seconds of each cycle."""

    @property
    def rows(self) -> int:
        """Return the number of orders and lines."""
        return self.lines + self.lines // LINES_AN_ORDER

    @property
    def load_seconds(self) -> float:
        """Return the seconds of the first load of both tables."""
        return sum(self.load.seconds.values())


def measure(sizes: Sequence[int], rounds: int, batch: int = BATCH) -> list[Measured]:
    """Measure each size in turn, in one growing server."""
    found = []
    orders = min(sizes) // LINES_AN_ORDER
    with sales_source(orders) as sales:
        for lines in sorted(sizes):
            if lines // LINES_AN_ORDER > orders:
                sales.add(orders, lines // LINES_AN_ORDER)
                sales.settle()
                orders = lines // LINES_AN_ORDER
            load = first_load(sales.settings, sales.streams)
            with open_pipeline(sales.settings, sales.streams) as pipeline:
                cycles = []
                for _ in range(rounds):
                    cycles.append(_cycle(sales, pipeline, orders, batch))
                    orders += batch
            found.append(Measured(lines, load, cycles))
            print(
                f"{lines:,} lines: first load {found[-1].load_seconds:.2f} s, {load.memory_mb:.0f} MB;"
                f" cycles {', '.join(f'{seconds:.3f}' for seconds in cycles)} s",
                flush=True,
            )
    return found


def _cycle(sales: Sales, pipeline: Pipeline, first: int, batch: int) -> float:
    """Return the seconds of the cycle that stages this many new orders and their lines."""
    sales.add(first, first + batch)
    # Wait until all of them are below the horizon.
    time.sleep(2 * MARGIN.total_seconds())
    begun = time.perf_counter()
    report = run_cycle(pipeline)
    seconds = time.perf_counter() - begun
    staged = [each.rows_staged for each in report.streams]
    assert staged == [batch, batch * LINES_AN_ORDER], f"staged {staged}: {report.failures}"
    return seconds


def report(found: Sequence[Measured]) -> Results:
    """Return the figures of each size, and the ratios of the largest size to the smallest."""
    results = Results("growth")
    for each in found:
        results.add(f"first load over {each.lines:,} lines", [each.load_seconds])
        results.add(f"memory over {each.lines:,} lines", [each.load.memory_mb], "MB")
        results.add(f"a cycle over {each.lines:,} lines", each.cycles)
    small, large = found[0], found[-1]
    results.add("a cycle, largest against smallest", large.cycles, yardstick=small.cycles, goal=GOAL)
    per_row = [[1e6 * each.load_seconds / each.rows] for each in (large, small)]
    results.add("a row of a first load, largest against smallest", per_row[0], "µs", yardstick=per_row[1], goal=GOAL)
    memory = [[each.load.memory_mb] for each in (large, small)]
    results.add("memory of a first load, largest against smallest", memory[0], "MB", yardstick=memory[1], goal=GOAL)
    return results


def plot(found: Sequence[Measured], path: Path) -> None:
    """Draw three panels over the number of lines."""
    # The measured process imports this module, too. With Altair and pandas it would hold 110 MB more.
    from benchmarks.plot import Panel, Series, draw

    lines = [each.lines for each in found]
    cycles = Series(lines, [statistics.median(each.cycles) for each in found])
    seconds = Series(lines, [each.load_seconds for each in found])
    memory = Series(lines, [each.load.memory_mb for each in found])
    panels = (
        Panel(f"A cycle of {BATCH:,} orders and {BATCH * LINES_AN_ORDER:,} lines", "seconds", cycles),
        Panel("A first load: time", "seconds", seconds, proportional=True),
        Panel("A first load: peak memory", "MB", memory),
    )
    draw(panels, "lines in the source", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, nargs="+", default=SIZES, help="sizes of order_details")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="file for the plot, as SVG")
    add_argument(parser)
    options = parser.parse_args()
    found = measure(options.lines, options.rounds)
    report(found).write(options.json)
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
