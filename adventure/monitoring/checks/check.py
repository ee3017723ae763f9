"""What a check says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check: what was expected, what was found, and whether that holds."""

    name: str
    expected: str
    actual: str
    holds: bool | None
    """None where there is nothing to judge by."""
    period: str = ""
    """Of which sales; empty where it is all of them. Checks of one name stand side by side, a column a period."""

    @property
    def failed(self) -> bool:
        return self.holds is False

    @property
    def label(self) -> str:
        """The name, with the period where there is one."""
        return f"{self.name} ({self.period})" if self.period else self.name
