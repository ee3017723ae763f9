"""The real code keeps its promises in simulated worlds, and each known fault is found there."""

from collections.abc import Iterator

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.patches import simulated_modules
from tests.simulation.schedule import Schedule, schedule, shortened, shown, violation
from tests.simulation.world import SUMMER_BEGINS, Config

CHUNK = 20
"""Seeds in the fast tier."""

FOUND_BEFORE: dict[str, Schedule] = {
    "a transaction outlives the end of a lookback": (
        Config(),
        [
            ("begin", 3, False),
            ("unknown", True),
            ("tick", 5_000_000),
            ("transaction", 0, 4, "put"),
            ("tick", 700_000),
            ("cycle", 0, 0, None),
            ("unknown", False),
            ("write", 3, 5, "put"),
            ("cycle", 0, 0, None),
            ("end", 3, True),
        ],
    ),
    "the processor is killed before the watermark moves": (
        Config(),
        [
            ("transaction", 0, 1, "put"),
            ("tick", 700_000),
            ("cycle", 0, 60, "kill"),
            ("transaction", 0, 2, "put"),
            ("tick", 700_000),
            ("cycle", 0, 0, None),
        ],
    ),
    "two versions have the same rounded cursor while the horizon is unknown": (
        Config(precision="ms"),
        [
            ("unknown", True),
            ("transaction", 1, 6, "put"),
            ("begin", 3, True),
            ("write", 3, 6, "put"),
            ("cycle", 0, 0, None),
            ("tick", 1_100_000),
            ("cycle", 0, 0, None),
            ("end", 3, True),
            ("unknown", False),
            ("cycle", 0, 0, None),
        ],
    ),
    "the wall clock skips an hour while a transaction is open and the horizon unknown": (
        Config(precision="trunc", zone="Europe/Berlin", begins=SUMMER_BEGINS),
        [
            ("transaction", 3, 6, "put"),
            ("begin", 1, False),
            ("tick", 5_000_000),
            ("begin", 2, True),
            ("tick", 5_000_000),
            ("unknown", True),
            ("transaction", 0, 4, "put"),
            ("cycle", 0, 0, None),
            ("write", 2, 4, "put"),
        ],
    ),
}


@pytest.fixture(autouse=True)
def _simulated() -> Iterator[None]:
    with simulated_modules():
        yield


def check(seeds: range) -> None:
    """Run the schedules of these seeds."""
    for seed in seeds:
        if found := violation(schedule(seed)):
            short = shortened(schedule(seed))
            pytest.fail(f"Seed {seed}: {found}\nShortened: {violation(short)}\n{shown(short)}")


def test_schedules_keep_every_promise() -> None:
    check(range(CHUNK))


@pytest.mark.slow
def test_more_schedules_keep_every_promise() -> None:
    check(range(CHUNK, 400))


@pytest.mark.parametrize("name", FOUND_BEFORE)
def test_what_was_found_before_stays_fixed(name: str) -> None:
    assert violation(FOUND_BEFORE[name]) == ""


def test_a_schedule_runs_again_exactly() -> None:
    assert schedule(7) == schedule(7)
    assert schedule(7) != schedule(8)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_known_fault_is_found(mutant: Mutant) -> None:
    """The tries find nothing in the code itself, and something once the fix is taken out."""
    tries = [mutant.schedule(number) for number in range(mutant.tries)]
    assert [found for each in tries if (found := violation(each))] == []
    with mutant.in_place():
        assert any(violation(each) for each in reversed(tries))
