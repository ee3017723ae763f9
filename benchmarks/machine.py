"""What a figure was measured on, in words that name no machine."""

import os
import platform
from datetime import UTC, datetime


def machine() -> str:
    """Cores, memory, load, Python and day."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, load average {os.getloadavg()[1]:.1f}, {datetime.now(UTC):%Y-%m-%d}"
    )
