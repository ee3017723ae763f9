"""The result of a check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check: the expected value, the actual value, and whether the check holds."""

    name: str
    expected: str
    actual: str
    holds: bool | None
    """None if there is nothing to compare with."""
    period: str = ""
    """The period of the sales; empty means all. Checks of the same name are shown side by side, by period."""

    @property
    def failed(self) -> bool:
        return self.holds is False

    @property
    def label(self) -> str:
        """Return the name, followed by the period if there is one."""
        return f"{self.name} ({self.period})" if self.period else self.name
