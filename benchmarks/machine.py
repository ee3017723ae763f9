"""Describe the machine on which figures were measured, without its name."""

import os
import platform
import re
import resource
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Return cores, memory, operating system, Python, load average and date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, load average {os.getloadavg()[1]:.1f}, {datetime.now(UTC):%Y-%m-%d}"
    )


def peak_memory_mb() -> float:
    """Return the peak memory of this process so far. On Linux, rusage would include the parent's memory."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))):
        return int(found[1]) / 1024
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
