"""CREDIT_BUDGET, held against what the resource monitor of Snowflake's warehouse has counted this month.

SHOW needs no warehouse, so that the look itself costs nothing.
"""

import time
from dataclasses import dataclass

from adventure.core.errors import CreditBudgetReached, WarehouseRefused
from adventure.core.settings import Settings
from adventure.destinations.snowflake.session import Ask

_BELIEVED_SEC = 60.0
"""How long a look at the monitor holds: it runs minutes behind anyway."""


@dataclass(frozen=True)
class Monitor:
    """A resource monitor's month."""

    used: float
    quota: float | None


class Budget:
    """CREDIT_BUDGET, held against the resource monitor of the warehouse."""

    def __init__(self, settings: Settings, ask: Ask, role: str) -> None:
        self._settings = settings
        self._ask = ask
        self._role = role
        self._used = 0.0
        self._read_at = -_BELIEVED_SEC

    def is_reached(self) -> bool:
        """Whether the credits are used up; never, where CREDIT_BUDGET is not set.

        Raises:
            WarehouseRefused: the role may not see the monitor.
        """
        budget = self._settings.credit_budget
        if budget is None:
            return False
        if time.monotonic() - self._read_at >= _BELIEVED_SEC:
            self._used, self._read_at = read_monitor(self._settings, self._ask, self._role).used, time.monotonic()
        return self._used >= budget

    def check(self) -> None:
        """Before a statement that needs the warehouse.

        Raises:
            CreditBudgetReached: there are no credits left for it.
        """
        if self.is_reached():
            raise CreditBudgetReached(self.sentence(), "Raise CREDIT_BUDGET, or wait for the monitor's next month")

    def sentence(self) -> str:
        """What is used, without a full stop."""
        return (
            f"CREDIT_BUDGET is reached: {self._used:g} of {self._settings.credit_budget:g} credits of this month are"
            f" used by {self._settings.snowflake_warehouse}, and nothing more is run on it; staging goes on"
        )


def read_monitor(settings: Settings, ask: Ask, role: str) -> Monitor:
    """The resource monitor SNOWFLAKE_MONITOR.

    Raises:
        WarehouseRefused: there is none, or the role may not see it.
    """
    name = settings.snowflake_monitor
    # The name is a pattern here: `_` is any character.
    rows = ask(f"show resource monitors like '{name}'", (), "adventure:status")
    for row in rows:
        if str(row[0]).upper() == name.upper():
            return Monitor(float(row[2] or 0), float(row[1]) if row[1] else None)
    raise WarehouseRefused(
        f"The role {role} sees no resource monitor {name}, which tells the credits that are used",
        f"grant monitor on resource monitor {name} to role {role}, or set SNOWFLAKE_MONITOR",
    )
