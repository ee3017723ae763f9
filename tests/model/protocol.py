"""The protocol as a small state machine: what each step may do, and the promises that hold in every state.

One stream. Time is a small integer. Each writer writes one row; a version of it is (row, stamp), and its stamp is the
time at which its transaction began. A step is one effect of one process, so that any other process may work, and any
crash may come, between two steps. docs/model.md names the code that each step stands for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Version = tuple[int, int]
"""A row and the stamp of its latest write."""
Rows = frozenset[Version]


class Window(NamedTuple):
    """A window in the stage. It exists for loader and cleanup once it is whole."""

    name: int
    low: int
    """-1: from the beginning."""
    high: int
    rows: Rows
    whole: bool = False
    """`window.json` is there."""
    damaged: bool = False
    """Files that `window.json` lists are missing."""


class Processor(NamedTuple):
    """One processor, and what it remembers of its unfinished window."""

    step: str = "down"
    holds_lock: bool = False
    low: int = -1
    high: int = -1
    rows: Rows = frozenset()
    name: int = -1


class Warehouse(NamedTuple):
    """The raw table and the ledger, which change in one transaction."""

    raw: frozenset[tuple[int, Version]] = frozenset()
    """Rows with the window that they came from. A set, since a second load is looked for in `loads`."""
    ledger: frozenset[tuple[int, int, int]] = frozenset()
    """(name, low, high) of each loaded window."""
    twice: bool = False
    """Whether the rows of one window entered the raw table twice."""


class Copy(NamedTuple):
    """Copies of the three parts, which were made at one moment."""

    mark: int
    stage: frozenset[Window]
    warehouse: Warehouse


class World(NamedTuple):
    """Everything at one moment."""

    clock: int = 1
    rows: tuple[int, ...] = (0, 0)
    """The stamp of each committed row; 0: it was never committed."""
    open: tuple[int, ...] = (0, 0)
    """The stamp of each writer's open transaction; 0: none."""
    writes: int = 0
    mark: int = -1
    """The watermark; -1: none."""
    stage: frozenset[Window] = frozenset()
    warehouse: Warehouse = Warehouse()
    removing: int = -1
    """The window that the cleanup found in the ledger and removes next."""
    processors: tuple[Processor, ...] = (Processor(),)
    made: int = 0
    crashes: int = 0
    restores: int = 0
    copy: Copy | None = None
    removed_unloaded: bool = False


@dataclass(frozen=True)
class Bounds:
    """How large the searched worlds are."""

    clock: int = 4
    writes: int = 3
    windows: int = 3
    crashes: int = 2
    restores: int = 1
    processors: int = 1


@dataclass(frozen=True)
class Rules:
    """The rules that keep the promises. A test takes out one after the other, and the search has to notice."""

    horizon_waits_for_transactions: bool = True
    horizon_before_snapshot: bool = True
    watermark_moves_last: bool = True
    manifest_comes_last: bool = True
    watermark_is_compared: bool = True
    recovery_looks_at_the_files: bool = True
    load_asks_the_ledger: bool = True
    cleanup_asks_the_ledger: bool = True
    gaps_are_reported: bool = True


def steps(world: World, bounds: Bounds, rules: Rules) -> Iterator[tuple[str, World]]:
    """Yield each step that may come next, with the world after it."""
    yield from _time_and_writers(world, bounds)
    for number, processor in enumerate(world.processors):
        for label, after, changed in _processor(world, processor, bounds, rules):
            processors = (*world.processors[:number], changed, *world.processors[number + 1 :])
            yield f"processor {number + 1}: {label}", after._replace(processors=processors)
    yield from _takeover(world, bounds, rules)
    yield from _load(world, rules)
    yield from _cleanup(world, rules)
    yield from _copies(world, bounds)


def _time_and_writers(world: World, bounds: Bounds) -> Iterator[tuple[str, World]]:
    if world.clock < bounds.clock:
        yield "the clock moves", world._replace(clock=world.clock + 1)
    for row, stamp in enumerate(world.open):
        if stamp:
            closed = _set(world.open, row, 0)
            yield f"row {row} is committed", world._replace(open=closed, rows=_set(world.rows, row, stamp))
            yield f"row {row} is rolled back", world._replace(open=closed)
        elif world.writes < bounds.writes:
            opened = _set(world.open, row, world.clock)
            yield f"row {row} is written", world._replace(open=opened, writes=world.writes + 1)


def _processor(
    world: World, processor: Processor, bounds: Bounds, rules: Rules
) -> Iterator[tuple[str, World, Processor]]:
    """Yield the processor's next step, and that it crashes before it."""
    match processor.step:
        case "down":
            if not any(other.holds_lock for other in world.processors):
                yield "starts", recovered(world, rules), Processor("idle", holds_lock=True)
            return
        case "idle":
            began = processor._replace(low=world.mark)
            if world.made < bounds.windows and rules.horizon_before_snapshot:
                yield "reads the horizon", world, began._replace(step="snapshot", high=horizon(world, rules))
            elif world.made < bounds.windows:
                rows = seen(world, world.mark, world.clock)
                yield "opens the snapshot", world, began._replace(step="horizon", rows=rows)
        case "horizon":
            high = horizon(world, rules)
            rows = frozenset(version for version in processor.rows if version[1] < high)
            yield "reads the horizon", *_with_rows(world, processor, rows, high)
        case "snapshot":
            rows = seen(world, processor.low, processor.high)
            yield "opens the snapshot and reads it", *_with_rows(world, processor, rows, processor.high)
        case "files":
            window = Window(processor.name, processor.low, processor.high, processor.rows)
            window = window._replace(whole=not rules.manifest_comes_last, damaged=not rules.manifest_comes_last)
            staged = world._replace(stage=world.stage | {window})
            if rules.watermark_moves_last:
                yield "stages the files", staged, processor._replace(step="manifest")
            else:
                moved = staged._replace(mark=processor.high)
                yield "stages the files and moves the watermark", moved, processor._replace(step="manifest")
        case "manifest":
            window = Window(processor.name, processor.low, processor.high, processor.rows)
            files_are_there = any(each.name == window.name for each in world.stage)
            others = frozenset(each for each in world.stage if each.name != window.name)
            whole = window._replace(whole=True, damaged=not files_are_there)
            after = world._replace(stage=others | {whole})
            yield "stages window.json", after, processor._replace(step="watermark")
        case "watermark":
            if not rules.watermark_moves_last:
                yield "ends its cycle", world, Processor("idle", holds_lock=processor.holds_lock)
            elif not rules.watermark_is_compared or (processor.holds_lock and world.mark == processor.low):
                yield "moves the watermark", world._replace(mark=processor.high), Processor("idle", holds_lock=True)
            else:
                yield "fails to move the watermark, and ends", world, Processor()
    if world.crashes < bounds.crashes:
        yield "is killed", world._replace(crashes=world.crashes + 1), Processor()


def _takeover(world: World, bounds: Bounds, rules: Rules) -> Iterator[tuple[str, World]]:
    """A processor loses its lock without noticing it, and a second one starts."""
    if len(world.processors) < bounds.processors:
        former = world.processors[-1]
        if former.holds_lock:
            both = (former._replace(holds_lock=False), Processor("idle", holds_lock=True))
            yield "a second processor takes over", recovered(world, rules)._replace(processors=both)


def _load(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Load one window: rows and ledger in one transaction. A damaged one is refused, and reported."""
    for window in world.stage:
        entry = (window.name, window.low, window.high)
        loaded = entry in world.warehouse.ledger
        if window.whole and not (loaded and rules.load_asks_the_ledger):
            if window.damaged and rules.manifest_comes_last:
                continue
            held = world.warehouse
            rows = frozenset() if window.damaged else frozenset((window.name, version) for version in window.rows)
            after = Warehouse(held.raw | rows, held.ledger | {entry}, held.twice or loaded)
            if after != held:
                yield f"window {window.name} is loaded", world._replace(warehouse=after)


def _cleanup(world: World, rules: Rules) -> Iterator[tuple[str, World]]:
    """Remove one window in two steps: ask the ledger, then remove the files."""
    if world.removing >= 0:
        found = [window for window in world.stage if window.name == world.removing and window.whole]
        loaded = {name for name, _, _ in world.warehouse.ledger}
        unloaded = any(window.name not in loaded and not window.damaged for window in found)
        yield (
            f"window {world.removing} is removed",
            world._replace(
                stage=world.stage.difference(found),
                removing=-1,
                removed_unloaded=world.removed_unloaded or (unloaded and not world.restores),
            ),
        )
        return
    for window in world.stage:
        entry = (window.name, window.low, window.high)
        if window.whole and (entry in world.warehouse.ledger or not rules.cleanup_asks_the_ledger):
            yield f"the cleanup finds window {window.name} in the ledger", world._replace(removing=window.name)


def _copies(world: World, bounds: Bounds) -> Iterator[tuple[str, World]]:
    """Copy everything once; later put one part of it back."""
    if bounds.restores and world.copy is None:
        yield "everything is copied", world._replace(copy=Copy(world.mark, world.stage, world.warehouse))
    if world.copy and world.restores < bounds.restores and not any(p.holds_lock for p in world.processors):
        restored = world._replace(restores=world.restores + 1)
        yield "the state is restored", restored._replace(mark=world.copy.mark)
        yield "the stage is restored", restored._replace(stage=world.copy.stage)
        yield "the warehouse is restored", restored._replace(warehouse=world.copy.warehouse)


def recovered(world: World, rules: Rules) -> World:
    """What a processor does when it starts: move over whole windows, and discard the others."""
    mark = world.mark
    for window in sorted(world.stage):
        usable = window.whole and not (window.damaged and rules.recovery_looks_at_the_files)
        if usable and window.low == mark and window.high > mark:
            mark = window.high
    return world._replace(mark=mark, stage=frozenset(window for window in world.stage if window.whole))


def horizon(world: World, rules: Rules) -> int:
    """Every row that is committed later has a stamp of at least this."""
    if rules.horizon_waits_for_transactions:
        return min(world.clock, *(stamp or world.clock for stamp in world.open))
    return world.clock


def gaps(world: World) -> list[tuple[int, int]]:
    """Return the spans below the watermark that neither stage nor ledger covers, as `adventure status` reports them."""
    spans = [(window.low, window.high) for window in world.stage if window.whole]
    spans += [(low, high) for _, low, high in world.warehouse.ledger]
    reached, found = -1, []
    for low, high in sorted([*spans, (world.mark, world.mark)]):
        if low > reached and reached < world.mark:
            found.append((reached, min(low, world.mark)))
        reached = max(reached, high)
    return found


def reports(world: World, rules: Rules) -> list[tuple[int, int]]:
    """Return the spans of which a person is told after a restore: gaps, and damaged windows, which a repair replaces.

    Without a restore nothing may be missing, whatever is reported.
    """
    if not world.restores or not rules.gaps_are_reported:
        return []
    return gaps(world) + [(window.low, window.high) for window in world.stage if window.whole and window.damaged]


def missing(world: World) -> list[Version]:
    """Return committed rows below the watermark that are neither staged nor loaded."""
    held = {version for _, version in world.warehouse.raw}
    held |= {version for window in world.stage if window.whole and not window.damaged for version in window.rows}
    return [(row, stamp) for row, stamp in enumerate(world.rows) if 0 < stamp < world.mark and (row, stamp) not in held]


def violated(world: World, rules: Rules) -> str | None:
    """Return the promise of docs/guarantees.md that does not hold in this state, or None."""
    if gaps(world) and not world.restores:
        return "The watermark moves last"
    reported = reports(world, rules)
    for version in missing(world):
        if not any(low <= version[1] < high for low, high in reported):
            return "Lost windows are reported" if world.restores else "No committed row is missed"
    if any(window.whole and window.damaged for window in world.stage) and len(world.processors) == 1:
        return "Files are complete or absent"
    if world.warehouse.twice:
        return "Rows are loaded once"
    if world.removed_unloaded:
        return "Files are removed after the load"
    return None


def seen(world: World, low: int, high: int) -> Rows:
    """Return the committed rows in `[low, high)`."""
    return frozenset((row, stamp) for row, stamp in enumerate(world.rows) if stamp and low <= stamp < high)


def _with_rows(world: World, processor: Processor, rows: Rows, high: int) -> tuple[World, Processor]:
    """Go on to the files if there are rows. The window ends after its last row, not at the horizon."""
    if not rows:
        return world, Processor("idle", holds_lock=processor.holds_lock)
    high = min(high, max(stamp for _, stamp in rows) + 1)
    return world._replace(made=world.made + 1), processor._replace(step="files", rows=rows, high=high, name=world.made)


def _set(values: tuple[int, ...], place: int, value: int) -> tuple[int, ...]:
    return (*values[:place], value, *values[place + 1 :])
