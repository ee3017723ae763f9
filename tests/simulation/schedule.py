"""Make a schedule from a seed, run it, and shorten one that fails."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from tests.simulation.world import SUMMER_BEGINS, SUMMER_ENDS, Config, Step, Violation, World

STEPS = 50
"""The steps of a schedule."""

_ZONES: dict[int, dict[str, Any]] = {
    4: {"zone": "Europe/Berlin", "begins": SUMMER_BEGINS},
    9: {"zone": "Europe/Berlin", "begins": SUMMER_ENDS},
}
"""A fifth of the schedules has a cursor that holds the wall clock, shortly before it changes."""
_TICKS = (30, 1_000, 20_000, 90_000, 150_000, 700_000, 1_100_000, 5_000_000)
_HOURS = (1_500_000_000, 3_700_000_000)
_CLOCK_STEPS = (-3_600_000_000, -5_000_000, -2_000_000, -400_000, -45_000, 300_000, 4_000_000)
_PARTS = ("stage", "state", "warehouse", "source")
_EFFECTS = 90
"""A processor that starts and runs a cycle has about so many effects."""

Schedule = tuple[Config, list[Step]]


def schedule(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    random = Random(seed)
    config = Config(
        default=random.choice(("now", "now", "statement", "clock")),
        precision=random.choice(("us", "us", "ms", "s", "s", "trunc", "day")),
        file_by_file=random.random() < 0.3,
        # Derived from the seed, so that the schedules of earlier runs stay the same.
        rows_a_window=(1_000_000, 1, 2)[seed % 3],
        **_ZONES.get(seed % 10, {}),
    )
    # Each schedule has one or two kinds of disturbances only, so that each of them comes often enough.
    kinds = random.sample(("crash", "clock", "restore", "damage", "unknown", "twice"), random.choice((0, 1, 1, 2)))
    make = _Maker(random, kinds, ticks=_TICKS + _HOURS * (config.zone is not None))
    return config, [make.step() for _ in range(STEPS)]


def run(steps: Schedule) -> None:
    """Run a schedule to its end.

    Raises:
        Violation: something that must always hold does not.
    """
    config, schedule = steps
    world = World(config)
    world.run(schedule)
    world.converge()


def violation(steps: Schedule) -> str:
    """Return what a schedule violates; empty if nothing."""
    try:
        run(steps)
    except Violation as found:
        return str(found)
    return ""


def shortened(steps: Schedule) -> Schedule:
    """Return a schedule without the steps that are not needed for a violation of the same promise."""
    promise = violation(steps).partition(":")[0]

    def fails(config: Config, kept: Sequence[Step]) -> bool:
        return violation((config, list(kept))).partition(":")[0] == promise

    config, kept = steps
    size = len(kept)
    while size:
        begin = 0
        while begin < len(kept):
            fewer = kept[:begin] + kept[begin + size :]
            if fails(config, fewer):
                kept = fewer
            else:
                begin += size
        size //= 2
    for number, step in enumerate(kept):
        for simpler in _simpler(step):
            changed = [*kept[:number], simpler, *kept[number + 1 :]]
            if fails(config, changed):
                kept = changed
                break
    for plainer in (
        Config(),
        replace(config, default="now"),
        replace(config, file_by_file=False),
        replace(config, zone=None, begins=Config.begins),
        replace(config, rows_a_window=Config.rows_a_window),
    ):
        if fails(plainer, kept):
            config = plainer
    return config, kept


def _simpler(step: Step) -> list[Step]:
    """Return simpler forms of a step: without an interruption, or with fewer steps in it."""
    if step[0] not in ("cycle", "load", "cleanup", "repair") or not step[-1]:
        return []
    *rest, at, action = step
    found: list[Step] = [(*rest, 0, None)]
    if isinstance(action, list):
        found += [(*rest, at, [inner]) for inner in action]
    return found


def shown(steps: Schedule) -> str:
    """Return the schedule as Python that runs it again."""
    config, kept = steps
    lines = "\n".join(f"    {step!r}," for step in kept)
    return f"run(({config!r}, [\n{lines}\n]))"


class _Maker:
    """Makes the steps of one schedule."""

    def __init__(self, random: Random, kinds: Sequence[str], ticks: Sequence[int]) -> None:
        self._random, self._ticks = random, ticks
        self._crashes, self._twice = "crash" in kinds, "twice" in kinds
        self._work: list[tuple[int, Callable[[], Step]]] = [
            (14, self._tick),
            (18, self._transaction),
            (8, self._begin),
            (12, self._write),
            (8, self._end),
            (5, self._finish),
            (1, lambda: ("truncate",)),
        ]
        self._pipeline: list[tuple[int, Callable[[], Step]]] = [
            (18, self._cycle),
            (10, self._load),
            (8, self._cleanup),
            (1, self._repair),
        ]
        disturbances: dict[str, list[tuple[int, Callable[[], Step]]]] = {
            "crash": [(4, lambda: ("stop", 0)), (4, lambda: ("power",)), (2, lambda: ("drop", 0))],
            "clock": [(10, lambda: ("clock", random.choice(_CLOCK_STEPS)))],
            "restore": [(8, lambda: ("back_up",)), (6, lambda: ("restore", random.choice(_PARTS)))],
            "damage": [(6, lambda: ("damage", random.randrange(4), random.choice(("change", "empty", "delete"))))],
            "unknown": [(8, lambda: ("unknown", random.random() < 0.5))],
            "twice": [(10, lambda: ("drop", random.randrange(2)))],
        }
        self._disturbances = [each for kind in kinds for each in disturbances[kind]]
        everything = self._work + self._pipeline + self._disturbances
        self._all = [make for weight, make in everything for _ in range(weight)]
        self._inner = [make for weight, make in self._work for _ in range(weight)]
        self._inner += [self._plain(name) for name in ("load", "cleanup")] + [lambda: ("cycle", 1, 0, None)] * (
            8 * self._twice
        )
        self._inner += [lambda: ("drop", 0)] * (4 * self._twice)

    def step(self) -> Step:
        return self._random.choice(self._all)()

    def _tick(self) -> Step:
        return ("tick", self._random.choice(self._ticks))

    def _transaction(self) -> Step:
        return ("transaction", self._random.randrange(4), self._random.randrange(1, 7), self._random.choice(_WRITES))

    def _begin(self) -> Step:
        return ("begin", self._random.randrange(4), self._random.random() < 0.5)

    def _write(self) -> Step:
        random = self._random
        return ("write", random.randrange(4), random.randrange(1, 7), random.choice(_WRITES))

    def _end(self) -> Step:
        return ("end", self._random.randrange(4), self._random.random() < 0.85)

    def _finish(self) -> Step:
        return ("finish", self._random.randrange(4))

    def _cycle(self) -> Step:
        return ("cycle", int(self._twice and self._random.random() < 0.3), *self._interruption(_EFFECTS))

    def _load(self) -> Step:
        return ("load", *self._interruption(40))

    def _cleanup(self) -> Step:
        return ("cleanup", *self._interruption(20))

    def _repair(self) -> Step:
        return ("repair", *self._interruption(30))

    def _interruption(self, effects: int) -> tuple[int, Any]:
        """Return at which effect something happens, and what."""
        random = self._random
        if random.random() < 0.5:
            return 0, None
        at = random.randrange(1, effects)
        if self._crashes and random.random() < 0.6:
            return at, random.choice(("kill", "kill", "power", "fail", "lost answer"))
        return at, [random.choice(self._inner)() for _ in range(random.randrange(1, 6))]

    @staticmethod
    def _plain(name: str) -> Callable[[], Step]:
        return lambda: (name, 0, None)


_WRITES = ("put", "put", "put", "put", "delete", "move")
