"""Run a command, and write its seconds and the peak memory of its processes in kB.

This script is minimal, since Linux includes the memory of the starting process in the peak.

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
    with open(file, "w") as report:  # noqa: PTH123 - pathlib would use memory
        report.write(f"{seconds} {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
