"""The known faults: each takes one fix out of the code, and the simulation has to find it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from adventure.destinations.common import ledger
from adventure.destinations.duckdb import load, stage
from adventure.destinations.duckdb import warehouse as duckdb_warehouse
from adventure.monitoring import observe
from adventure.sources.postgres import clock_steps, horizon, windows
from adventure.sources.postgres import source as postgres
from tests.simulation.schedule import Schedule, schedule
from tests.simulation.server import Server
from tests.simulation.source import AskingConnection, CopyingConnection
from tests.simulation.world import Config, Step


@dataclass(frozen=True)
class Mutant:
    """A fault that was fixed."""

    name: str
    tries: int
    """The number of seeds from 0 on, or of effects at which `schedule` is interrupted, within which it is found."""
    changes: tuple[tuple[Any, str, Any], ...]
    """Module or class, name, and what replaces it."""
    schedule: Callable[[int], Schedule] = schedule
    """Returns the schedule of a try. Unless a seed makes it, it is written below."""

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Take the fix out while the block runs."""
        patches = [patch.object(*change) for change in self.changes]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def _not_whole(end: Any, *_: Any) -> Any:
    return end


def _is_begun(window: Any, loaded: Any) -> bool:
    return any((window.id, file.name) in loaded for file in window.all_files)


def _nothing(*_: Any) -> tuple[()]:
    return ()


def _sale(key: int) -> Step:
    return ("transaction", 1, key, "put")


_WAIT: Step = ("tick", 700_000)
_CYCLE: Step = ("cycle", 0, 0, None)
_PENDING: list[Step] = [("begin", 0, False), ("write", 0, 1, "put")]
_FOUR: list[Step] = [*map(_sale, (1, 2, 3, 4)), _WAIT, _CYCLE]


def _second_transaction_of_a_message(_: int) -> Schedule:
    again: list[Step] = [("begin", 0, False), ("write", 0, 3, "put")]
    return Config(), [*_PENDING, ("end", 0, True), _WAIT, _sale(2), _WAIT, _CYCLE, *again]


def _commit_within_a_cycle(at: int) -> Schedule:
    return Config(), [*_PENDING, _WAIT, _sale(2), _WAIT, ("cycle", 0, at, [("end", 0, True), ("finish", 0)])]


def _transaction_across_a_step(_: int) -> Schedule:
    begun: list[Step] = [_sale(1), ("tick", 1_100_000), _CYCLE, ("begin", 0, False), ("clock", -5_000_000)]
    return Config(default="clock"), [*begun, ("write", 0, 2, "put"), _sale(3), ("tick", 1_100_000), _CYCLE]


def _stopped_before_a_sync(at: int) -> Schedule:
    return Config(), [_sale(1), _WAIT, ("cycle", 0, at, "kill"), _CYCLE, ("power",)]


def _restored_warehouse(_: int) -> Schedule:
    done: list[Step] = [_sale(1), _WAIT, _CYCLE, ("load", 0, None), ("cleanup", 0, None)]
    return Config(), [("back_up",), *done, ("restore", "warehouse")]


def _killed_load(at: int) -> Schedule:
    return Config(file_by_file=True), [*_FOUR, ("load", at, "kill"), ("cleanup", 0, None), ("load", 0, None)]


MUTANTS = (
    Mutant(
        "tick finer than the column", 11, ((postgres, "whole_units", _not_whole), (windows, "whole_units", _not_whole))
    ),
    Mutant("horizon above a pending transaction", 6, ((horizon, "_sessions", lambda *_: (None, frozenset(), None)),)),
    Mutant("clock stepped back", 139, ((clock_steps, "floor_of", lambda last, _: clock_steps.Floor(last.horizon)),)),
    Mutant("a staged file is not synced", 102, ((stage, "_sync", _nothing),)),
    Mutant(
        "a message counts as its open transaction only",
        1,
        ((AskingConnection, "counts_messages", False),),
        _second_transaction_of_a_message,
    ),
    Mutant(
        "a transaction across a step of the clock is forgotten",
        1,
        ((Server, "working", _nothing),),
        _transaction_across_a_step,
    ),
    Mutant(
        "the snapshot is taken before the horizon",
        40,
        ((CopyingConnection, "snapshot_at_begin", True),),
        _commit_within_a_cycle,
    ),
    Mutant(
        "a watermark without its window after a restore",
        1,
        ((observe, "lost_windows", lambda *_: {}),),
        _restored_warehouse,
    ),
    Mutant(
        "a window is recovered before it is durable",
        60,
        ((stage.FolderStage, "secure", _nothing),),
        _stopped_before_a_sync,
    ),
    Mutant(
        "cleanup beside a half-loaded window",
        40,
        ((ledger, "is_loaded", _is_begun), (duckdb_warehouse, "is_loaded", _is_begun)),
        _killed_load,
    ),
    Mutant(
        "a file is loaded although it is in the ledger",
        40,
        ((load, "files_to_load", lambda window, _: window.all_files),),
        _killed_load,
    ),
)
