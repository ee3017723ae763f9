"""What is written, how it is read, and what is promised of it."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """How writers set the cursor."""

    of: str = "server"
    """`server`, within the writing transaction, or `client`."""
    offset: float = 0.0
    """Seconds by which a client's clock is wrong."""
    jump: float = 0.0
    """Seconds by which it is set when half of the rows are written."""

    def now(self, progress: float) -> datetime | None:
        """The cursor to write; None: the server sets it."""
        if self.of == "server":
            return None
        wrong = self.offset + (self.jump if progress >= 0.5 else 0.0)
        return datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=wrong)


@dataclass(frozen=True)
class Load:
    """How much is written, and how."""

    rows: int = 100_000
    """Inserts and updates that are committed, of orders and lines together."""
    writers: int = 16
    longest: float = 5.0
    """Seconds that the longest transaction stays open; the shortest, a millisecond."""
    processors: int = 2
    rows_a_transaction: int = 48


@dataclass(frozen=True)
class Scenario:
    """A way to write and a way to read, and what is promised of it."""

    name: str
    clock: Clock = Clock()
    lookback: float = 0.0
    """Seconds; of every stream."""
    privileged: bool = True
    """Whether the role sees open transactions; without, the processor falls back to a lookback."""
    lossless: bool = True
    """Whether no row may be missing. Where one may, `adventure reconcile` has to find it."""
    most_read: float = math.inf
    """Rows read for each row written, at most."""

    def shortened(self, factor: float) -> "Scenario":
        """The same with clocks that are less wrong; only a lookback that is to be exceeded shrinks with them."""
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
    """What one run of one scenario came to; of several processors, the worst."""

    scenario: str
    written: int = 0
    missing: int = 0
    """Rows whose last version was never staged."""
    stale: int = 0
    """Rows whose last version was staged, and is not the latest by its cursor: its writer's clock went back."""
    doubled: int = 0
    """Rows more than the source has, when each key is kept once."""
    orphans: int = 0
    """Lines that were staged before their order, at any moment."""
    read: float = 0.0
    """Rows read for each row written."""
    staged: float = 0.0
    """Rows staged for each row written."""
    cycles: int = 0
    detected: int = 0
    """Rows missing or stale that `adventure reconcile` finds; it is asked where some may be."""
    undetected: int = 0
    """Rows missing that it does not find."""
    plain_missing: int = 0
    """Rows that `cursor > the largest seen` lost in the same run."""
    seconds: float = 0.0

    def faults(self, scenario: Scenario) -> list[str]:
        """Which promises were broken."""
        found = [f"{self.missing:,} rows missing"] if self.missing and scenario.lossless else []
        found += [f"{self.undetected:,} missing rows that reconcile does not find"] if self.undetected > 0 else []
        found += [f"{self.doubled:,} rows doubled"] if self.doubled else []
        found += [f"{self.orphans:,} lines staged before their order"] if self.orphans else []
        found += [f"{self.read:.2f} rows read for each"] if self.read > scenario.most_read else []
        return [f"{self.scenario}: {fault}" for fault in found]
