"""Compares CREDIT_BUDGET with the credits that the warehouse's resource monitor has counted this month.

Reading the monitor costs no credits, because SHOW needs no warehouse.
"""

import time
from dataclasses import dataclass

from adventure.core.errors import CreditBudgetReached, WarehouseRefused
from adventure.core.settings import Settings
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.session import TaggedExecute

CACHE_TTL_SEC = 60.0
"""How long the monitor's count is reused. The monitor itself lags by minutes."""


@dataclass(frozen=True)
class Monitor:
    """A resource monitor's credits of this month."""

    used: float
    quota: float | None


class Budget:
    """CREDIT_BUDGET, compared with the resource monitor's count."""

    def __init__(self, settings: Settings, execute: TaggedExecute, role: str) -> None:
        self._settings = settings
        self._execute = execute
        self._role = role
        self._used = 0.0
        self._read_at = -CACHE_TTL_SEC

    def is_reached(self) -> bool:
        """Return whether the credits are used up. False if CREDIT_BUDGET is not set.

        Raises:
            WarehouseRefused: the role may not see the monitor.
        """
        budget = self._settings.credit_budget
        if budget is None:
            return False
        if time.monotonic() - self._read_at >= CACHE_TTL_SEC:
            self._used, self._read_at = read_monitor(self._settings, self._execute, self._role).used, time.monotonic()
        return self._used >= budget

    def check(self) -> None:
        """Call this before each statement that needs the warehouse.

        Raises:
            CreditBudgetReached: the credits are used up.
        """
        if self.is_reached():
            raise CreditBudgetReached(self.sentence(), "Raise CREDIT_BUDGET, or wait for the monitor's next month")

    def sentence(self) -> str:
        """Return the sentence that says how many credits are used, without a full stop."""
        return (
            f"CREDIT_BUDGET is reached: {self._used:g} of {self._settings.credit_budget:g} credits of this month are"
            f" used by {self._settings.snowflake_warehouse}. Adventure runs nothing more on it; staging continues"
        )


def read_monitor(settings: Settings, execute: TaggedExecute, role: str) -> Monitor:
    """Return the resource monitor SNOWFLAKE_MONITOR.

    Raises:
        WarehouseRefused: it does not exist, or the role may not see it.
    """
    name = settings.snowflake_monitor
    # SHOW reads the name as a pattern in which `_` is any character, so other monitors may match.
    rows = execute(f"show resource monitors like {SNOWFLAKE.literal(name)}", (), "adventure:status")
    for row in rows:
        if str(row[0]).upper() == name.upper():
            return Monitor(float(row[2] or 0), float(row[1]) if row[1] else None)
    raise WarehouseRefused(
        f"The role {role} sees no resource monitor {name}, which counts the credits used",
        f"Run: grant monitor on resource monitor {name} to role {role}, or set SNOWFLAKE_MONITOR",
    )
