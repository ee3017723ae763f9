"""The scenarios: how to write, how to read, and the promises that must hold."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """How writers set the cursor."""

    of: str = "server"
    """`server` (within the writing transaction) or `client`."""
    offset: float = 0.0
    """Seconds by which a client's clock is wrong."""
    jump: float = 0.0
    """Seconds by which the clock is set when half of the rows are written."""

    def now(self, progress: float) -> datetime | None:
        """Return the cursor to write; None if the server sets it."""
        if self.of == "server":
            return None
        wrong = self.offset + (self.jump if progress >= 0.5 else 0.0)
        return datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=wrong)


@dataclass(frozen=True)
class Load:
    """How much is written, and how."""

    rows: int = 100_000
    """Number of committed inserts and updates of orders and lines."""
    writers: int = 16
    longest: float = 5.0
    """Seconds for which the longest transaction stays open; the shortest takes a millisecond."""
    processors: int = 2
    rows_a_transaction: int = 48


@dataclass(frozen=True)
class Scenario:
    """A way to write and to read, with its promises."""

    name: str
    clock: Clock = Clock()
    lookback: float = 0.0
    """Lookback of every stream, in seconds."""
    privileged: bool = True
    """Whether the role can see open transactions; without it, the processor falls back to a lookback."""
    lossless: bool = True
    """Whether no row may be missing. If rows may be missing, `adventure reconcile` must find them."""
    most_read: float = math.inf
    """Maximum number of rows read per row written."""

    def shortened(self, factor: float) -> "Scenario":
        """Return the scenario with smaller clock errors, and a smaller lookback if the error is to exceed it."""
        clock = replace(self.clock, offset=self.clock.offset * factor, jump=self.clock.jump * factor)
        return replace(self, clock=clock, lookback=self.lookback * (1 if self.lossless else factor))


SCENARIOS = (
    Scenario("horizon", most_read=1.6),
    Scenario("without privileges", privileged=False),
    Scenario("client's clock 30 s behind", Clock("client", -30), lookback=10),
    Scenario("client's clock 30 s ahead", Clock("client", 30), lookback=10),
    Scenario("client's clock jumps 30 s back", Clock("client", 0, -30), lookback=45),
    Scenario("client's clock jumps past the lookback", Clock("client", 0, -30), lookback=10, lossless=False),
)


@dataclass
class Figures:
    """The result of a run of a scenario; with several processors, the worst result."""

    scenario: str
    written: int = 0
    missing: int = 0
    """Rows whose last version was never staged."""
    stale: int = 0
    """Rows whose last version was staged but is not the latest by its cursor: the writer's clock went back."""
    doubled: int = 0
    """Rows in excess of the source after deduplication by key."""
    orphans: int = 0
    """Lines that were staged before their order at any time."""
    read: float = 0.0
    """Rows read for each row written."""
    staged: float = 0.0
    """Rows staged for each row written."""
    cycles: int = 0
    detected: int = 0
    """Missing or stale rows that `adventure reconcile` finds; it runs where rows may be missing."""
    undetected: int = 0
    """Missing rows that `adventure reconcile` does not find."""
    plain_missing: int = 0
    """Rows that `cursor > the largest seen` lost in the same run."""
    seconds: float = 0.0

    def faults(self, scenario: Scenario) -> list[str]:
        """Return the broken promises."""
        found = [f"{self.missing:,} rows missing"] if self.missing and scenario.lossless else []
        found += [f"{self.undetected:,} missing rows that reconcile does not find"] if self.undetected > 0 else []
        found += [f"{self.doubled:,} rows doubled"] if self.doubled else []
        found += [f"{self.orphans:,} lines staged before their order"] if self.orphans else []
        found += [f"{self.read:.2f} rows read for each"] if self.read > scenario.most_read else []
        return [f"{self.scenario}: {fault}" for fault in found]
