"""This machine's clocks."""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")


def utc_now() -> datetime:
    """This machine's clock as naive UTC. For records of when something ran, never for a watermark."""
    return datetime.now(UTC).replace(tzinfo=None)


def overdue_after(tasks_interval_sec: float) -> float:
    """Return the seconds after which a run of the tasks is overdue: two intervals, and two minutes for a build."""
    return 2 * tasks_interval_sec + 120.0


@dataclass(frozen=True)
class Moment:
    """This machine's clocks at one moment."""

    wall: datetime
    """Naive UTC."""
    boot: str
    """The machine's boot, by which `uptime` is comparable between processes."""
    uptime: float
    """Seconds of a clock that nobody sets."""

    @classmethod
    def now(cls) -> "Moment":
        """Read the clocks."""
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME) if _BOOT_FILE.exists() else time.monotonic()
        return cls(utc_now(), _boot(), uptime)

    def since(self, earlier: "Moment") -> timedelta | None:
        """Return the time that has passed: by the wall clock after a boot, and None where that was set back."""
        if self.boot == earlier.boot:
            return timedelta(seconds=self.uptime - earlier.uptime)
        return self.wall - earlier.wall if self.wall >= earlier.wall else None


@cache
def _boot() -> str:
    return _BOOT_FILE.read_text().strip() if _BOOT_FILE.exists() else f"process-{secrets.token_hex(8)}"


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return the moment less a span, and the calendar's first moment where that lies before it."""
    return moment - by if moment - datetime.min >= by else datetime.min


def later(moment: datetime, by: timedelta) -> datetime:
    """Return the moment plus a span, and the calendar's last moment where that lies after it."""
    return moment + by if datetime.max - moment >= by else datetime.max


def when(value: datetime | None) -> str | None:
    """Return a naive UTC timestamp as ISO 8601 text with the offset `Z`."""
    return f"{value.isoformat()}Z" if value else None
