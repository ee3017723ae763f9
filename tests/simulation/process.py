"""A process of the simulated world. Each of its effects is a point where it can die, fail, or be overtaken."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World

EPOCH = datetime(2026, 3, 1, 12, 0, 0, 123457)
"""When each schedule begins. Its microseconds lie on no whole unit."""

AN_EFFECT = 7
"""How long an effect takes, in microseconds."""


class Crash(BaseException):
    """The process was killed. No code of it runs any more: each further effect raises this again."""


class Process:
    """One process of the pipeline.

    Args:
        left: the number of the effect at which `action` happens; 0 for never.
        action: `kill`, `power`, `fail`, `lost answer`, or the steps of others that run before the effect.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.alive = True
        self.busy = False
        self.left = 0
        self.action: object = None
        self.answer_is_lost = False

    def effect(self, failure: Callable[[], Exception]) -> None:
        """Mark an effect that is about to happen.

        Args:
            failure: returns the error with which the effect fails.

        Raises:
            Crash: the process is dead.
        """
        if not self.alive:
            raise Crash
        self.world.true_us += AN_EFFECT
        if self.left:
            self.left -= 1
            if not self.left:
                self._interrupt(failure)

    def answered(self, failure: Callable[[], Exception]) -> None:
        """Mark that a server has done what it was asked. Its answer may be lost."""
        if self.answer_is_lost:
            self.answer_is_lost = False
            raise failure()

    def _interrupt(self, failure: Callable[[], Exception]) -> None:
        if self.action == "kill":
            self.die()
            raise Crash
        if self.action == "power":
            self.world.cut_power()
            raise Crash
        if self.action == "fail":
            raise failure()
        if self.action == "lost answer":
            self.answer_is_lost = True
            return
        self.world.run(self.action)  # type: ignore[arg-type]
        if not self.alive:
            raise Crash

    def die(self) -> None:
        """Kill the process. Its connections end with it."""
        self.alive = False
        self.world.state.disconnect(self)
        self.world.server.disconnect(self)


def moment(true_us: int) -> datetime:
    """Return a moment of the simulated time, naive UTC."""
    return EPOCH + timedelta(microseconds=true_us)
