"""Run benchmarks one after the other, each in its own process, and collect their figures.

    make bench                                         all of them, about 28 minutes
    make bench BENCH_ARGS="growth mongo_load"          some; the figures of the others are kept
    make bench BENCH_ARGS="--folder somewhere"         write there instead of benchmarks/results

Writes the plots, and `figures.json` with each benchmark's figures, command, machine and load average.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import machine

BENCHMARKS: dict[str, list[str]] = {
    "first_load": [],
    "steady_state": [],
    "load": [],
    "waiting": [],
    "mongo_load": [],
    "http_load": [],
    "build_growth": [],
    "by_log": [],
    "reconcile": [],
    "status": [],
    "dashboard": ["--browser"],
    "freshness": ["--minutes", "3"],
    "growth": ["--plot", "{folder}/growth.svg"],
}
"""Modules and their arguments in a run of all benchmarks."""
RESULTS = Path(__file__).with_name("results")


def run(names: Sequence[str], folder: Path) -> list[str]:
    """Run these benchmarks, write their figures into `folder`, and return the names of those that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "figures.json"
    gathered = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    failed = []
    for name in names:
        print(f"\n== {name} ({machine()})", flush=True)
        arguments = [each.format(folder=folder) for each in BENCHMARKS[name]]
        with tempfile.TemporaryDirectory() as scratch:
            figures = Path(scratch) / "figures.json"
            command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(figures)]
            if subprocess.run(command, check=False).returncode or not figures.exists():
                failed.append(name)
                continue
            shown = " ".join(each for each in BENCHMARKS[name] if "{folder}" not in each).removesuffix(" --plot")
            gathered[name] = {
                "command": f"python -m benchmarks.{name} {shown}".strip(),
                "machine": machine(),
                "figures": json.loads(figures.read_text(encoding="utf-8")),
            }
        path.write_text(json.dumps(gathered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    if failed := run(options.names or list(BENCHMARKS), options.folder):
        sys.exit(f"Without figures: {', '.join(failed)}; see above")


if __name__ == "__main__":
    main()
