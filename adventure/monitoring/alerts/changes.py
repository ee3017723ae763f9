"""Find which problems began and which ended since the last look."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from adventure.monitoring.health.causes import in_order
from adventure.monitoring.health.problem import Problem

ENDS_AFTER = timedelta(minutes=10)
"""A problem has ended when it was not seen for this long. One that comes back earlier is still the same problem."""


@dataclass(frozen=True)
class Active:
    """A problem that has not ended."""

    problem: Problem
    """As last seen, without its cause."""
    began_at: datetime
    seen_at: datetime
    is_announced: bool
    """False for a problem that follows from another one: the alert of its cause covers it."""


@dataclass(frozen=True)
class Changes:
    """What to announce, and what to remember."""

    active: tuple[Active, ...]
    began: tuple[Problem, ...]
    """Each new root cause, followed by its consequences."""
    ended: tuple[Active, ...]
    """Announced problems that ended."""


def find_changes(
    active: Sequence[Active], problems: Sequence[Problem], now: datetime, unjudged: Collection[str] = ()
) -> Changes:
    """Compare what was active with the problems of now.

    Args:
        active: what the last call returned.
        problems: as `find_problems` returns them.
        now: naive UTC.
        unjudged: kinds that the caller cannot see. Active problems of these kinds do not end here.
    """
    unseen = [each for each in active if not any(_is_same(each.problem, problem) for problem in problems)]
    over = [each for each in unseen if now - each.seen_at >= ENDS_AFTER and each.problem.kind not in unjudged]
    held = [each for each in unseen if each not in over]
    # What follows from a problem that was seen a moment ago is covered by its alert.
    linked = in_order([*(replace(each, cause=None) for each in problems), *(each.problem for each in held)])
    found: list[Active] = []
    began: list[Problem] = []
    for problem in linked:
        if any(_is_same(each.problem, problem) for each in held):
            continue
        bare = replace(problem, cause=None)
        known = next((each for each in active if _is_same(each.problem, problem)), None)
        is_announced = known is not None and known.is_announced
        if problem.cause is None:
            if not is_announced or (known and _is_worse(problem, known.problem)):
                began.append(problem)
            is_announced = True
        elif problem.cause in began:
            began.append(problem)
        found.append(Active(bare, known.began_at if known else now, now, is_announced))
    return Changes((*found, *held), tuple(began), tuple(each for each in over if each.is_announced))


def _is_same(one: Problem, other: Problem) -> bool:
    """Return whether both are one problem: a failure that reaches further streams is no further problem."""
    return (one.kind, one.subject) == (other.kind, other.subject) and (
        one.streams == other.streams or not set(one.streams).isdisjoint(other.streams)
    )


def _is_worse(problem: Problem, before: Problem) -> bool:
    return problem.severity == "error" and before.severity == "warning"
