"""What a figure was measured on, in words that name no machine."""

import os
import platform
import re
import resource
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Cores, memory, load, Python and day."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, load average {os.getloadavg()[1]:.1f}, {datetime.now(UTC):%Y-%m-%d}"
    )


def peak_memory_mb() -> float:
    """The largest memory of this process so far. Linux counts what its parent held into rusage, which is no answer."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))):
        return int(found[1]) / 1024
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
