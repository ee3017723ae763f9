"""Search every reachable state of the model, breadth first, so that the first violation has the fewest steps."""

from collections import deque
from dataclasses import dataclass

from tests.model.protocol import Bounds, Rules, World, horizon, recovered, reports, seen, steps, violated


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    states: int
    depth: int
    """The longest shortest way to a state, in steps."""
    promise: str | None = None
    """The first promise that does not hold."""
    way: tuple[str, ...] = ()
    """The steps that lead there."""


def search(bounds: Bounds, rules: Rules | None = None) -> Found:
    """Visit all states within the bounds; stop at the first that breaks a promise."""
    rules = rules or Rules()
    start = World()
    reached: dict[World, tuple[World, str] | None] = {start: None}
    depths = {start: 0}
    waiting = deque([start])
    while waiting:
        world = waiting.popleft()
        if promise := violated(world, rules) or stuck(world, rules):
            return Found(len(reached), depths[world], promise, _way(reached, world))
        for label, after in steps(world, bounds, rules):
            if after not in reached:
                reached[after] = (world, label)
                depths[after] = depths[world] + 1
                waiting.append(after)
    return Found(len(reached), max(depths.values()))


def stuck(world: World, rules: Rules) -> str | None:
    """Return the promise that breaks when all goes on undisturbed: commit, start, one cycle, and load everything.

    These steps are computed at once: the rows that the warehouse has afterwards are those that it had, those of all
    whole windows, and those that one more cycle reads.
    """
    rows = tuple(stamp or before for stamp, before in zip(world.open, world.rows, strict=True))
    calm = World(
        clock=world.clock + 1,
        rows=rows,
        mark=world.mark,
        stage=world.stage,
        warehouse=world.warehouse,
        restores=world.restores,
        made=max([world.made, *(window.name + 1 for window in world.stage)]),
    )
    calm = recovered(calm, rules)
    held = {version for _, version in calm.warehouse.raw} | seen(calm, calm.mark, horizon(calm, rules))
    held |= {version for window in calm.stage if not window.damaged for version in window.rows}
    reported = reports(calm, rules)
    for row, stamp in enumerate(rows):
        if stamp and (row, stamp) not in held and not any(low <= stamp < high for low, high in reported):
            return "Every run converges"
    return None


def _way(reached: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    labels = []
    while found := reached[world]:
        world, label = found
        labels.append(label)
    return tuple(reversed(labels))
