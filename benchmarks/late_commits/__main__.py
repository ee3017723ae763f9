"""Run the given scenarios, or all, and print a table of results."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import structlog

import benchmarks.late_commits
from adventure.demo.sandbox import Sandbox
from benchmarks.late_commits.scenarios import SCENARIOS, Load
from benchmarks.late_commits.stress import stress
from benchmarks.late_commits.system import PostgresSystem

_HEADINGS = (
    "| scenario | rows written | missing | found by reconcile | missing by `> max` | duplicates | stale"
    " | lines before their order | rows read per row | cycles | seconds |\n" + 11 * "|---" + "|"
)


def main() -> None:
    """Run the given scenarios, or all, and print a table; exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        description=benchmarks.late_commits.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", help=f"any of: {', '.join(each.name for each in SCENARIOS)}")
    parser.add_argument("--rows", type=int, default=Load.rows)
    parser.add_argument("--writers", type=int, default=Load.writers)
    parser.add_argument(
        "--longest", type=float, default=Load.longest, help="seconds for which the longest transaction stays open"
    )
    parser.add_argument("--processors", type=int, default=Load.processors)
    given = parser.parse_args()
    chosen = [each for each in SCENARIOS if not given.scenario or each.name in given.scenario]
    load = Load(given.rows, given.writers, given.longest, given.processors)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(_HEADINGS)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Sandbox(Path(folder) / "servers") as sandbox:
        for number, scenario in enumerate(chosen):
            system = PostgresSystem(sandbox, Path(folder) / str(number), f"stress_{number}")
            found = stress(system, scenario, load)
            print(
                f"| {found.scenario} | {found.written:,} | {found.missing:,} | {found.detected or '-'}"
                f" | {found.plain_missing:,} | {found.doubled:,} | {found.stale:,} | {found.orphans:,}"
                f" | {found.read:.2f} | {found.cycles:,} | {found.seconds:.0f} |",
                flush=True,
            )
            faults += found.faults(scenario)
    sys.exit("\n".join(faults) if faults else 0)


if __name__ == "__main__":
    main()
