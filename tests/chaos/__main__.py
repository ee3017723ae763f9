"""`make chaos CHAOS_ARGS="--minutes 10 --seed 3"`: kill everything at random under load, and compare at the end."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="folder that keeps servers, logs and data (default: a temporary one)"
    )
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="adventure-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"chaos: {arguments.minutes:g} minutes, seed {arguments.seed}, in {folder}", flush=True)
    report = run(folder, minutes=arguments.minutes, seed=arguments.seed)
    print("\n".join(report.lines()))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
