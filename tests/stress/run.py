"""Run cells in parallel, since they mostly sleep."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.stress.cells import Cell
from tests.stress.matrix import Outcome, World, run_cell

AT_ONCE = 8
"""Each cell uses seven of the server's hundred connections."""


def run_all(world: World, cells: Sequence[Cell], seconds: float) -> Iterator[tuple[Cell, Outcome]]:
    """Run the cells; cells that share a clock start together."""
    if cells and all(cell.clock for cell in cells):
        world.together = threading.Barrier(len(cells), timeout=120)
    at_once = len(cells) if world.together else AT_ONCE
    with ThreadPoolExecutor(max(1, at_once)) as pool:
        yield from zip(cells, pool.map(lambda cell: run_cell(world, cell, seconds), cells), strict=True)
