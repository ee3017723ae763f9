"""Runs a command, and writes its seconds and the largest memory of its processes in kB.

As small as can be: Linux counts into a process's memory what the one that started it held.

python -S measured.py FILE COMMAND…
"""

import resource
import subprocess
import sys
import time


def main(file: str, *command: str) -> int:
    begun = time.monotonic()
    code = subprocess.call(command)
    seconds = time.monotonic() - begun
    with open(file, "w") as report:  # noqa: PTH123 - pathlib would be memory
        report.write(f"{seconds} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
