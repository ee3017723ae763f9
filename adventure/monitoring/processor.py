"""Rules on the processor's health. `adventure status` and the Pipeline page apply the same ones.

The page also runs inside Snowflake, so this module imports little.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from adventure.core.ages import long_age

if TYPE_CHECKING:
    from adventure.core.failures import Failure
    from adventure.core.heartbeat import Heartbeat

Severity = Literal["error", "warning"]
"""`error`: data is old or missing. `warning`: the data is correct, but needs attention."""

_LONG_STEP = timedelta(minutes=1)
"""The processor sends a heartbeat every second, except during a single step of the source. A step longer than this is
reported as a warning."""


@dataclass(frozen=True)
class Problem:
    """A problem, its place, and its fix."""

    severity: Severity
    place: str
    """The name of a stream or task, `processor`, `tasks`, or `tests`."""
    message: str
    fix: str


def processor_problems(sign: "Heartbeat | None", failures: "Sequence[Failure]", now: datetime) -> Iterator[Problem]:
    """Yield why the processor does not read, causes first.

    Args:
        sign: its last heartbeat. None if it never ran, or its file is not visible from here: that is no problem.
    """
    if sign is None:
        return
    for failure in failures:
        retries = "" if sign.has_ended else ", and the processor retries"
        yield Problem(
            "error",
            failure.streams[0] if len(failure.streams) == 1 else "processor",
            f"{', '.join(failure.streams)}: {failure.problem}. No rows are read since {failure.since:%H:%M} UTC"
            f" ({long_age(now - failure.since)}){retries}",
            failure.remedy or "Read the processor's log",
        )
    age = long_age(now - sign.seen_at)
    if sign.has_ended:
        yield Problem(
            "error",
            "processor",
            f"The processor stopped {age} ago. Newer rows are not read",
            "Start `adventure process`. The end of its log says why it stopped",
        )
    elif now > sign.stuck_at or now > sign.next_by + _LONG_STEP:
        waits = long_age(sign.next_by - sign.seen_at)
        yield Problem(
            "error" if now > sign.stuck_at else "warning",
            "processor",
            f"The processor was last seen {age} ago, but should have continued after {waits}",
            "Check whether `adventure process` is running, and start it if not. Its log shows the current step",
        )
