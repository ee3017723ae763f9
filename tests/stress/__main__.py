"""Run the given dimensions, or all, and print each cell as it ends; exit code 1 if a promise was broken."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import structlog

import tests.stress
from adventure.demo.sandbox import Sandbox
from tests.clocked import clocked_server
from tests.pooler import poolers
from tests.stress.cells import CELLS
from tests.stress.matrix import World
from tests.stress.run import run_all


def main() -> None:
    """Run the cells and print a table."""
    dimensions = list(dict.fromkeys(cell.dimension for cell in CELLS))
    parser = argparse.ArgumentParser(
        description=tests.stress.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dimension", nargs="*", help=f"any of: {', '.join(dimensions)}")
    parser.add_argument("--seconds", type=float, default=30.0, help="duration of the writes of each cell")
    given = parser.parse_args()
    chosen = [cell for cell in CELLS if not given.dimension or cell.dimension in given.dimension]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print("| cell | rows written | lost | result |\n|---|---|---|---|")
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name, Sandbox(Path(name) / "servers") as sandbox:
        folder = Path(name)
        folder.chmod(0o755)
        number = iter(range(1000))
        new_folder = lambda: _made(folder / f"pooler_{next(number)}")  # noqa: E731 - a name for what is passed twice
        with clocked_server(folder / "clocked", sandbox) as clocked, poolers(sandbox, new_folder) as pool:
            for world, cells in (
                (
                    World(sandbox, folder / "data", pool),
                    [cell for cell in chosen if not cell.clock and cell.dimension != "log"],
                ),
                # The other cells' open transactions would keep slots from being created.
                (
                    World(sandbox, folder / "log_data", pool, name="logged"),
                    [cell for cell in chosen if cell.dimension == "log"],
                ),
                (World(clocked, folder / "clocked_data", pool), [cell for cell in chosen if cell.clock]),
            ):
                for cell, found in run_all(
                    world, cells, max(given.seconds, 5) if cells and cells[0].clock else given.seconds
                ):
                    shown = f"refused: {found.refused}" if found.refused else "; ".join(sorted(found.modes))
                    print(f"| {cell} | {found.written:,} | {found.lost:,} | {shown} |", flush=True)
                    faults += found.faults(cell)
    sys.exit("\n".join(faults) if faults else 0)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
